"""What Celery knows of tasks that are under way: how long the queue is, and what workers tell of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from celery import Celery

from lastword.broker.consumers import ASK_S, asking, queue_length

QUESTION: Final = "lastword_tasks"
"""The remote control command that asks a worker; tasks/broker/remote_control.py answers it."""

ACTIVE, RESERVED, WAITING, HELD_BACK = "active", "reserved", "scheduled", "held back"


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task that a worker has, with times in seconds since the epoch.

    ``active`` since ``since_s``, ``reserved`` for later, ``scheduled`` for its retry at ``until_s``, ``held back`` by a
    rate limit.
    """

    worker: str
    state: str
    since_s: float | None
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """``queued``: how many tasks wait in the broker. ``workers``: the names of those that answered. ``tasks``: by id.

    ``revoked``: the ids of tasks that workers discard. ``elsewhere``: the workers that do not read the queue.
    ``limits``: by worker, how fast it may run which tasks. ``untold``: the workers of a release that tells nothing of
    all this, nor of tasks that wait for their retry.
    """

    queued: int
    workers: tuple[str, ...]
    tasks: dict[str, TaskState]
    revoked: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    limits: dict[str, str] = field(default_factory=dict)
    untold: tuple[str, ...] = ()
    queue: str = ""


def read_under_way(app: Celery, records: Sequence[str]) -> UnderWay:
    """Ask the broker and, through it, the workers, for the tasks of records, by the ids of their first tasks.

    ConnectionError with a reason when the broker does not answer.
    """
    queue = str(app.conf.task_default_queue)
    with asking(app) as connection:
        answer = _told(queue, queue_length(connection, queue), _ask(app, connection, records))
        if answer.untold and records:
            asked = app.control.inspect(list(answer.untold), timeout=ASK_S, connection=connection)
            answer.tasks.update(_states(asked.query_task(*records) or {}))
    return answer


def _ask(app: Celery, connection: Any, records: Sequence[str]) -> dict[str, Any]:  # noqa: ANN401 - kombu's
    """What each worker answers, by name."""
    answers: list[dict[str, Any]] = (
        app.control.broadcast(QUESTION, {"records": list(records)}, reply=True, timeout=ASK_S, connection=connection)
        or []
    )
    return {worker: told for answer in answers for worker, told in answer.items()}


def _told(queue: str, queued: int, answers: Mapping[str, Mapping[str, Any]]) -> UnderWay:
    by_worker = sorted(answers.items())
    able = [(worker, told) for worker, told in by_worker if "error" not in told]
    return UnderWay(
        queued,
        tuple(worker for worker, _ in by_worker),
        {
            task_id: TaskState(worker, state, *((None, at) if state == WAITING else (at, None)))
            for worker, told in able
            for task_id, (state, at) in told["tasks"].items()
        },
        revoked=tuple(sorted({task_id for _, told in able for task_id in told["revoked"]})),
        elsewhere=tuple(worker for worker, told in able if queue not in told["queues"]),
        limits={
            worker: ", ".join(f"{limit} of {name}" for name, limit in told["limits"].items())
            for worker, told in able
            if told["limits"]
        },
        untold=tuple(worker for worker, told in by_worker if "error" in told),
        queue=queue,
    )


def _states(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, TaskState]:
    return {
        task_id: TaskState(worker, state, info.get("time_start"))
        for worker, tasks in answers.items()
        for task_id, (state, info) in tasks.items()
    }
