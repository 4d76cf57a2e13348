"""What Celery knows of tasks that are under way: how long the queue is, and which worker has one in hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from tasks.consumers import ASK_S, CONNECT_S, queue_length
from tasks.redis_errors import explain


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


def _states(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, TaskState]:
    return {
        task_id: TaskState(worker, state, info.get("time_start"))
        for worker, tasks in answers.items()
        for task_id, (state, info) in tasks.items()
    }
