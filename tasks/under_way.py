"""What Celery knows of tasks that are under way: how long the queue is, and which worker has one in hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from tasks.redis_errors import explain

ASK_S: Final = 1.0
"""How long workers are waited for: nobody knows how many there are to answer."""

CONNECT_S: Final = 5


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task that a worker has: ``active`` since ``since_s`` (seconds since the epoch), or ``reserved`` for later."""

    worker: str
    state: str
    since_s: float | None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """``queued``: how many tasks wait in the broker. ``workers``: the names of those that answered. ``tasks``: by id.

    A task that waits for its retry is in none of them: Celery does not tell of those one by one.
    """

    queued: int
    workers: tuple[str, ...]
    tasks: dict[str, TaskState]


def read_under_way(app: Celery, task_ids: Sequence[str]) -> UnderWay:
    """Ask the broker and, through it, the workers. ConnectionError with a reason when the broker does not answer."""
    connection: Any
    with app.connection_for_read() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_S)
            queued = queue_length(connection, app.conf.task_default_queue)
            answers = app.control.inspect(timeout=ASK_S, connection=connection).query_task(*task_ids) or {}
        except (KombuError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            cause = error.__cause__ or error
            said = explain(cause) if isinstance(cause, RedisError) else str(cause)
            raise ConnectionError(f"{connection.as_uri()}: {said}") from error
    return UnderWay(queued, tuple(sorted(answers)), _states(answers))


def queue_length(connection: Any, queue: str) -> int:  # noqa: ANN401 - kombu's stubs lack half of it
    """How many tasks wait in a queue of the broker."""
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors:  # no such queue: Redis has none while it is empty
        return 0


def _states(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, TaskState]:
    return {
        task_id: TaskState(worker, state, info.get("time_start"))
        for worker, tasks in answers.items()
        for task_id, (state, info) in tasks.items()
    }
