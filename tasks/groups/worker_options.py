"""Options of ``celery worker`` that its pool cannot follow, or that keep it from its work: it says so at its start."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from celery import signals
from celery.concurrency import get_implementation

from lastword.settings.shared import SettingsError

logger = logging.getLogger(__name__)

IN_ITS_PROCESS: Final = frozenset(
    {"tasks.groups.pool", "tasks.groups.thread_pool", "celery.concurrency.thread", "celery.concurrency.solo"}
)
"""The modules of the pools whose tasks run in the worker's own process."""

WHY: Final = "the tasks of this pool run in the worker's own process"

OF_PROCESSES: Final = ("time_limit", "soft_time_limit", "max_tasks_per_child", "max_memory_per_child")


def runs_in_its_process(pool: type) -> bool:
    """Whether a pool's tasks run in the worker's own process: no limit of time, nothing to grow, nothing to kill."""
    return pool.__module__ in IN_ITS_PROCESS


def mind_options(worker: Any, heartbeat_file: Path | None) -> None:  # noqa: ANN401 - Celery's
    """Before its pool is made: leave out what would do harm there, and say later, in its log, what will not happen.

    SettingsError where nobody would see that it lives.
    """
    if heartbeat_file and worker.options.get("without_heartbeat"):
        raise SettingsError(
            f"setting LASTWORD_HEARTBEAT_FILE: given '{heartbeat_file}'; with --without-heartbeat nothing renews the "
            "file: leave out one of them"
        )
    said = list(_in_vain(worker))
    if runs_in_its_process(get_implementation(worker.pool_cls)):
        worker.options["autoscale"] = None  # it would reckon with every task, and say each time that it grows

    def say(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
        for what in said:
            logger.warning("%s", what)

    signals.celeryd_after_setup.connect(say, weak=False)  # its log is there from then on


def _in_vain(worker: Any) -> Iterator[str]:  # noqa: ANN401 - Celery's
    queue, read = worker.app.conf.task_default_queue, list(worker.app.amqp.queues.consume_from)
    if queue not in read:
        yield f"this worker takes no updates: it reads {read or 'no queue'}, and not {queue!r} (options -Q, -X)"
    if runs_in_its_process(get_implementation(worker.pool_cls)):
        given = [name for name in OF_PROCESSES if getattr(worker, name)]
        given += ["autoscale"] if worker.options.get("autoscale") else []
        for name in given:
            yield f"--{name.replace('_', '-')} does nothing: {WHY}; it does with -P processes"
