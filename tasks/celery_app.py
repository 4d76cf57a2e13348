"""The Celery application and its two tasks, for one update or for many: each concludes what its group found out."""

import logging
import random
import time
from typing import Any, Final

import msgspec
from celery import Celery, Task
from celery.exceptions import Reject, Retry
from kombu.exceptions import OperationalError

from lastword.cache.cache import TaskFailure
from lastword.cache.failures import LOADED
from lastword.contract.errors import (
    CacheUnavailableError,
    LoaderFailedError,
    LockBusyError,
    PermanentError,
    TransientError,
)
from lastword.contract.outcome import Outcome
from lastword.contract.task import (
    BATCH_NAME,
    TASK_NAME,
    Arguments,
    Send,
    UnknownFormatError,
    decode,
    decode_batch,
    destination,
    encode,
    shown,
)
from lastword.contract.task_id import record_id
from lastword.settings.shared import SettingsError
from lastword.settings.stock import is_stock
from tasks.groups.batches import PreparedBatch, summary
from tasks.groups.groups import Prepared, prepared
from tasks.groups.ungrouped import MACHINE_ERRORS, run, run_many
from tasks.resources import Resources, process_resources

logger = logging.getLogger(__name__)

LOCK_BUSY_MAX_S: Final = 5
"""The longest pause before the retry of a task whose lock was held; the shortest is 1 s."""

RETRY_MAX_S: Final = 60
"""The longest pause before any other retry; the pauses double up to it."""

UNEXPECTED_RETRIES: Final = 5
"""Retries after errors that nobody foresaw; then the record is dead-lettered."""


def _events() -> str | None:
    try:
        return None if is_stock() else "tasks.broker.events:Events"
    except SettingsError:
        return None  # celeryconfig.py says it, and ends


app = Celery("tasks", events=_events())
app.config_from_object("celeryconfig")


class GivenUpError(TransientError):
    """The task's time is over: it is not retried any longer, the bridge sends the update again."""


@app.task(
    bind=True,
    name=TASK_NAME,
    max_retries=None,
    throws=(GivenUpError, PermanentError, UnknownFormatError),
)
def update_product(self: "Task[Any, Any]", number: int, body: object, unexpected: int = 0) -> str:
    """Make the cache hold one update's version or a newer one, and return the outcome.

    ``unexpected`` counts the retries after errors that nobody foresaw.
    """
    ready = prepared.get()
    if not isinstance(ready, Prepared):
        ready = None
    arguments = ready.arguments if ready else decode(number, body)
    resources = process_resources()
    if not ready and (reason := resources.strays.reason(arguments.to)):
        return resources.strays.drop(reason)
    try:
        if ready:
            answer = ready.answer
        else:
            answer = run(record_id(str(self.request.id)), arguments, resources, retries=self.request.retries)
    except MACHINE_ERRORS as error:
        countdown_s = pause_s(TransientError(), self.request.retries)
        raise again(self, arguments, error, countdown_s, unexpected=unexpected) from error
    except Exception as error:  # the edge of the process
        raise unforeseen(self, arguments, resources, error, unexpected) from error
    if isinstance(answer, LoaderFailedError):
        raise unforeseen(self, arguments, resources, answer, unexpected) from answer
    if isinstance(answer, Outcome):
        warn_of_conflict(arguments, answer)
        try:
            tell_loaded(str(self.request.id), arguments, resources, answer)
        except TransientError as untold:
            countdown_s = pause_s(untold, self.request.retries)
            raise again(self, arguments, untold, countdown_s, unexpected=unexpected) from untold
        return answer.value
    if isinstance(answer, PermanentError):
        raise fail(self, arguments, resources, answer, unexpected)
    raise again(self, arguments, answer, pause_s(answer, self.request.retries), unexpected=unexpected)


@app.task(bind=True, name=BATCH_NAME, throws=(GivenUpError, UnknownFormatError))
def update_products(self: "Task[Any, Any]", number: int, body: object) -> str:
    """Make the cache hold many updates' versions or newer ones, and return how many had which outcome.

    One that fails goes on as the task that would have carried it alone, which is retried, or fails, like any other.
    """
    ready = prepared.get()
    if isinstance(ready, PreparedBatch):
        sends, answers = ready.sends, list(ready.answers)
    else:
        sends = decode_batch(number, body)
        answers = [None] * len(sends)
    resources = process_resources()
    if not isinstance(ready, PreparedBatch) and (reason := resources.strays.reason(destination(sends))):
        return resources.strays.drop(reason, len(sends))
    remaining = [index for index, answer in enumerate(answers) if answer is None]
    if remaining:
        done = run_many([sends[index].arguments for index in remaining], resources)
        for index, result in zip(remaining, done, strict=True):
            answers[index] = result
    failed: list[tuple[Send, Exception | None]] = []
    for send, answer in zip(sends, answers, strict=True):
        if not isinstance(answer, Outcome):
            failed.append((send, answer))
            continue
        warn_of_conflict(send.arguments, answer)
        try:
            tell_loaded(send.task_id, send.arguments, resources, answer)
        except TransientError as untold:
            failed.append((send, untold))
    try:
        for send, error in failed:
            hand_over(self, send, error)
    except broker_errors(self.app) as unsent:
        what = f"some of {len(failed)} of {len(sends)} updates"
        raise GivenUpError(f"{what} are not handed over: {unsent}; they are sent again") from unsent
    return summary(answers)


def broker_errors(app: Celery) -> tuple[type[Exception], ...]:
    """What a broker that does not take a task may raise; RabbitMQ's refusals kombu leaves as they are."""
    connection: Any = app.connection_for_write()
    return (OperationalError, *connection.connection_errors, *connection.channel_errors)


def hand_over(task: "Task[Any, Any]", send: Send, error: Exception | None) -> None:
    """Enqueue an update of many as a task of its own, for after a pause unless that is of no use."""
    update = send.arguments.update
    countdown_s = pause_s(error, 0) if isinstance(error, TransientError) else 0
    logger.info("product %r, version %s: alone in %d s: %s", update.entity_id, update.version, countdown_s, error)
    task.app.send_task(
        TASK_NAME,
        args=msgspec.to_builtins(encode(send.arguments)),
        task_id=send.task_id,
        countdown=countdown_s,
        argsrepr=shown(send.arguments),
        ignore_result=True,
    )


def warn_of_conflict(arguments: Arguments, outcome: Outcome) -> None:
    """Say so when one version of an entity has come with two contents."""
    update = arguments.update
    if outcome is Outcome.CONFLICT and not update.is_notice:  # of its entity two changes had one time: the later stays
        logger.warning(
            "product %r: version %s came with two contents; one of them stays", update.entity_id, update.version
        )


def tell_loaded(task_id: str, arguments: Arguments, resources: Resources, outcome: Outcome) -> None:
    """Tell the bridge what no version does: that what was loaded for the update is held. CacheUnavailableError."""
    if outcome is Outcome.LOADED:
        told = TaskFailure(record_id(task_id), arguments.update.version, arguments.nonce, LOADED, "")
        resources.cache.record_failure(told)


def pause_s(error: TransientError, retries: int) -> int:
    """Return the whole seconds to the next retry, at least one, with jitter."""
    if isinstance(error, LockBusyError):
        return random.randint(1, LOCK_BUSY_MAX_S)  # noqa: S311 - jitter
    longest_s = min(2 ** min(retries, 30), RETRY_MAX_S)
    return random.randint(max(1, longest_s // 2), max(1, longest_s))  # noqa: S311 - jitter


def again(
    task: "Task[Any, Any]", arguments: Arguments, error: Exception, countdown_s: int, *, unexpected: int
) -> Exception:
    """Return what to raise so that Celery retries the task; past its ``not_after`` it is given up instead."""
    what = f"product {arguments.update.entity_id!r}, version {arguments.update.version}"
    if time.time() >= arguments.not_after:
        return GivenUpError(f"{what}: {error}; it is sent again")
    # Of a cache that does not serve it is said once for all of them, and Celery tells each retry with its reason.
    level = logging.DEBUG if isinstance(error, CacheUnavailableError) else logging.INFO
    logger.log(level, "%s: again in %d s: %s", what, countdown_s, error)
    # Without it Celery would show all of the arguments, the entity's data too, where the bridge shows id and version.
    as_before: dict[str, Any] = {"argsrepr": task.request.get("argsrepr")}
    try:
        task.retry(countdown=countdown_s, kwargs={"unexpected": unexpected}, exc=error, **as_before)
    except Retry as retry:
        return retry
    except Reject as unsent:  # which Celery would log with a long traceback, for each task in flight
        return GivenUpError(f"{what}: {error}; its retry was not enqueued: {unsent.__context__}; it is sent again")
    raise AssertionError("Task.retry returned")


def unforeseen(
    task: "Task[Any, Any]", arguments: Arguments, resources: Resources, error: Exception, unexpected: int
) -> Exception:
    """Return what to raise for an error that nobody foresaw: it is retried a few times, then recorded."""
    update = arguments.update
    logger.error("product %r, version %s", update.entity_id, update.version, exc_info=error)
    if unexpected >= UNEXPECTED_RETRIES:
        return fail(task, arguments, resources, error, unexpected)
    countdown_s = min(2**unexpected, RETRY_MAX_S)
    return again(task, arguments, error, countdown_s, unexpected=unexpected + 1)


def fail(
    task: "Task[Any, Any]", arguments: Arguments, resources: Resources, error: Exception, unexpected: int
) -> Exception:
    """Record a permanent failure for the bridge to find, and return what to raise: a retry if that did not succeed."""
    failure = TaskFailure(
        task_id=record_id(str(task.request.id)),
        version=arguments.update.version,
        nonce=arguments.nonce,
        error=type(error).__name__,
        message=str(error),
    )
    try:
        resources.cache.record_failure(failure)
    except TransientError as unrecorded:
        countdown_s = pause_s(unrecorded, task.request.retries)
        return again(task, arguments, unrecorded, countdown_s, unexpected=unexpected)
    return error if isinstance(error, PermanentError) else PermanentError(f"{failure.error}: {error}")
