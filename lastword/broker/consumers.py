"""Who takes tasks from the broker: the workers that answer, the queues they consume, the flow that each serves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from lastword.redis.errors import explain

ASK_S: Final = 1.0
"""How long workers are waited for: nobody knows how many there are to answer."""

CONNECT_S: Final = 5

COMMAND: Final = "lastword_flow"
"""The remote control command that asks a worker whose tasks it runs; tasks/broker/flow_command.py answers it."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """A worker that answers. ``cache`` is what its cache calls itself, "" if nothing; None where it cannot be asked."""

    worker: str
    queues: tuple[str, ...]
    flow: str
    key_prefix: str
    cache: str | None


@dataclass(frozen=True, slots=True)
class Consumers:
    """The tasks in ``queue``, and the workers that answered; of those of an ``older`` release only names are known."""

    queue: str
    queued: int
    known: tuple[Consumer, ...]
    older: tuple[str, ...] = ()


def read_consumers(app: Celery) -> Consumers:
    """Ask the broker and, through it, the workers. ConnectionError with a reason when the broker does not answer."""
    with asking(app) as connection:
        queue = app.conf.task_default_queue
        queued = queue_length(connection, queue)
        answers = app.control.broadcast(COMMAND, reply=True, timeout=ASK_S, connection=connection) or []
    told = {worker: answer for each in answers for worker, answer in each.items()}
    known = tuple(_consumer(worker, answer) for worker, answer in sorted(told.items()) if "flow" in answer)
    return Consumers(queue, queued, known, tuple(sorted(told.keys() - {consumer.worker for consumer in known})))


@contextmanager
def asking(app: Celery) -> Iterator[Any]:
    """A connection to ask the broker, and workers, by; ConnectionError with a reason where the broker fails."""
    connection: Any
    with app.connection_for_read() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_S)
            yield connection
        except (KombuError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            cause = error.__cause__ or error
            said = explain(cause) if isinstance(cause, RedisError) else str(cause)
            raise ConnectionError(f"{connection.as_uri()}: {said}") from error


def queue_length(connection: Any, queue: str) -> int:  # noqa: ANN401 - kombu's stubs lack half of it
    """How many tasks wait in a queue of the broker."""
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors:  # no such queue: Redis has none while it is empty
        return 0


def _consumer(worker: str, answer: Mapping[str, Any]) -> Consumer:
    return Consumer(worker, tuple(answer["queues"]), answer["flow"], answer["key_prefix"], answer["cache"])
