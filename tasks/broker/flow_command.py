"""The workers' answer to the bridge and to `lastword inspect`: which flow each serves, from which queues.

``celery -A tasks inspect lastword_flow`` asks it too.
"""

from typing import Any

from celery.worker.control import inspect_command

from lastword.broker.consumers import COMMAND
from tasks.resources import process_resources


def install() -> None:
    """Have this worker answer."""
    inspect_command(name=COMMAND)(lastword_flow)


def lastword_flow(state: Any, **_: object) -> dict[str, object]:  # noqa: ANN401 - Celery's
    """Tell whose tasks this worker runs."""
    strays, consumer = process_resources().strays, state.consumer.task_consumer
    return {
        "flow": strays.ours.flow,
        "key_prefix": strays.ours.key_prefix,
        "cache": strays.name_of_cache(),
        "queues": [queue.name for queue in consumer.queues] if consumer else [],
    }
