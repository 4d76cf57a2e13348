"""What ``celery control`` and Flower's buttons do to a worker: what cannot work here is refused, in a sentence.

Celery would answer that it is done, or with a traceback in its log. And what ``lastword inspect`` asks a worker.
Imported where a worker starts, and not with ``tasks.app``: half of Celery's worker comes with it. Source:
https://docs.celeryq.dev/en/stable/userguide/workers.html#writing-your-own-remote-control-commands
"""

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

from celery.worker import request
from celery.worker import state as worker_state
from celery.worker.control import Panel, inspect_command

from lastword.contract.task_id import record_id
from tasks.broker.under_way import ACTIVE, HELD_BACK, QUESTION, RESERVED, WAITING
from tasks.groups.worker_options import WHY, runs_in_its_process

logger = logging.getLogger(__name__)

Command = Callable[..., Any]

SIZE: Final = (
    f"{WHY}, and nothing can be added to it or taken away; start another worker or stop one, or use -P processes"
)

REFUSED_IN_ITS_PROCESS: Final = {
    "pool_grow": SIZE,
    "pool_shrink": SIZE,
    "autoscale": SIZE,
    "pool_restart": f"{WHY}; restart the worker",
    "time_limit": f"{WHY}, which has no time limits: each call to a server has its deadline; -P processes has them",
}
GOES_ON: Final = f"what has begun goes on to its end, for {WHY}"
SENT_AGAIN: Final = "the bridge sends their updates again, as tasks with other ids"
CELERYS: Final[dict[str, Command]] = dict(Panel.data)
STAY_ON: Final = "the worker was started with its tasks' events on (worker_send_task_events), and they stay on"
NO_STAMPS: Final = "no task here has stamps, so that nothing is revoked by them; revoke tasks by their ids"


def install() -> None:
    """Put our commands in the place of Celery's, in this worker."""
    own: dict[str, Command] = {"revoke": revoke, "terminate": terminate, "rate_limit": rate_limit}
    for name, about in list(Panel.meta.items()):
        if about.type == "control":
            Panel.data[name] = _checked(name, own.get(name, CELERYS[name]))
    install_question()


def install_question() -> None:
    """Answer what ``lastword inspect`` asks."""
    inspect_command(name=QUESTION, visible=False)(tell)


def _checked(name: str, command: Command) -> Command:
    @functools.wraps(command)
    def checked(state: Any, **arguments: Any) -> Any:  # noqa: ANN401 - Celery's
        why = _objection(name, state.consumer, arguments)
        if not why:
            try:
                return command(state, **arguments)
            except Exception as error:  # noqa: BLE001 - the edge of the process; Celery would log a traceback
                why = f"{type(error).__name__}: {error}"
        logger.warning("celery control %s: %s", name, why)
        return {"error": why}

    return checked


def _objection(name: str, consumer: Any, arguments: dict[str, Any]) -> str | None:  # noqa: ANN401 - Celery's
    pool = consumer.pool
    if name == "revoke_by_stamped_headers":
        return NO_STAMPS
    if name == "disable_events" and not consumer.event_dispatcher.groups:
        return STAY_ON
    if runs_in_its_process(type(pool)):
        return REFUSED_IN_ITS_PROCESS.get(name)
    if name == "pool_shrink" and int(arguments.get("n", 1)) >= pool.num_processes:
        return f"there are {pool.num_processes} processes, and one must stay; to stop them all, stop the worker"
    return None


def revoke(
    state: Any,  # noqa: ANN401 - Celery's
    task_id: Any,  # noqa: ANN401 - one or several
    terminate: bool = False,  # noqa: FBT001, FBT002 - Celery's
    signal: str | None = None,
    **others: Any,  # noqa: ANN401 - Celery's
) -> dict[str, str]:
    """Let tasks be discarded; say what becomes of their updates, and that what has begun cannot be killed here."""
    kept = terminate and runs_in_its_process(type(state.consumer.pool))
    answer = CELERYS["revoke"](state, task_id, terminate=terminate and not kept, signal=signal, **others)
    told = "; ".join([str(answer["ok"]), *([GOES_ON] if kept else []), SENT_AGAIN])
    logger.info("celery control revoke: %s", told)
    return {"ok": told}


def terminate(state: Any, signal: str, task_id: Any, **_: Any) -> dict[str, str]:  # noqa: ANN401 - Celery's
    """Let tasks be discarded, and kill the process of one that has begun."""
    return revoke(state, task_id, terminate=True, signal=signal)


def rate_limit(state: Any, **arguments: Any) -> Any:  # noqa: ANN401 - Celery's
    """Let so many tasks run in a time; those that an earlier limit holds back follow the new one, as they would not."""
    buckets = dict(state.consumer.task_buckets)
    answer = CELERYS["rate_limit"](state, **arguments)
    for name, bucket in buckets.items():
        while bucket is not None and bucket is not state.consumer.task_buckets[name] and bucket.contents:
            held, tokens = bucket.pop()
            now = state.consumer.task_buckets[name]
            if now is None:
                worker_state.task_reserved(held)
                state.consumer.on_task_request(held)
            else:
                now.add((held, tokens))
        _run_what_may(state.consumer, name)
    return answer


def _run_what_may(consumer: Any, name: str) -> None:  # noqa: ANN401 - Celery's
    bucket = consumer.task_buckets[name]
    if bucket is not None and bucket.contents:
        consumer._schedule_bucket_request(bucket)  # noqa: SLF001 - what Celery calls for each task that comes


def tell(state: Any, records: list[str], **_: Any) -> dict[str, Any]:  # noqa: ANN401 - Celery's
    """Tell where the tasks of these records are in this worker, which are revoked, and what it reads, and how fast."""
    consumer, wanted = state.consumer, frozenset(records)
    limits = {name: str(task.rate_limit) for name, task in state.app.tasks.items() if consumer.task_buckets[name]}
    return {
        "tasks": {one.id: told for one, *told in _tasks(consumer) if record_id(one.id) in wanted},
        "revoked": [task_id for task_id in list(worker_state.revoked) if record_id(str(task_id)) in wanted],
        "queues": [queue.name for queue in consumer.task_consumer.queues] if consumer.task_consumer else [],
        "limits": limits,
    }


def _tasks(consumer: Any) -> Iterator[tuple[Any, str, float | None]]:  # noqa: ANN401 - Celery's
    """Every task of the worker, its state, and since when it is active or until when it waits."""
    for bucket in list(consumer.task_buckets.values()):
        for held, _ in list(bucket.contents) if bucket is not None else []:
            yield held, HELD_BACK, None
    for waiting in list(consumer.timer.schedule.queue):
        for task in waiting.entry.args[:1]:
            if isinstance(task, request.Request) and task.eta is not None:
                yield task, WAITING, task.eta.timestamp()
    for task in list(worker_state.requests.values()):
        yield task, ACTIVE if task in worker_state.active_requests else RESERVED, task.time_start
