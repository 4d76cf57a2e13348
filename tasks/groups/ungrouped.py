"""The work of a task that has been in no group: all of Celery's own pools, and what cannot wait for one."""

import logging
import time
from collections.abc import Sequence

from celery.exceptions import SoftTimeLimitExceeded

from lastword.contract.errors import LockBusyError, NotAloneError, TransientError
from lastword.contract.task import Arguments
from tasks.groups.groups import PAUSE_FIRST_S
from tasks.refresh import LOCK_WAIT_S, Answer, refresh
from tasks.resources import Resources

logger = logging.getLogger(__name__)

MACHINE_ERRORS = (SoftTimeLimitExceeded, MemoryError, OSError)
"""Errors that say something about the machine, or about time; no evidence against the update in flight."""


def run(record_id: str, arguments: Arguments, resources: Resources, *, retries: int) -> Answer:
    """Run the update and return what became of it; one that may kill workers runs alone, marked under ``record_id``.

    Only the first try waits for a busy lock: tasks whose locks stay busy would occupy every process of the pool.
    """
    updates, notices = [arguments.update], resources.notices([(arguments, retries)])
    lock_wait_s = 0.0 if retries else LOCK_WAIT_S
    if not arguments.marked:
        with resources.started.unmarked():
            (answer,) = refresh(updates, resources.cache, resources.locks, notices, lock_wait_s=lock_wait_s)
        return answer
    if resources.loader is not None and resources.loader.busy:
        return NotAloneError("a call of the loader that was not waited for has not come to its end")
    try:
        # A process killed while it waits for a server or a lock leaves no mark: that says nothing about the update.
        resources.locks.acquire({}).release()
        with resources.started.marked(record_id, arguments.nonce):
            (answer,) = refresh(updates, resources.cache, resources.locks, notices, lock_wait_s=0.0)
    except TransientError as error:
        return error
    return answer


def run_many(many: Sequence[Arguments], resources: Resources) -> Sequence[Answer]:
    """Run updates together, and those whose locks are busy again until ``LOCK_WAIT_S`` is over."""
    updates = [arguments.update for arguments in many]
    until = time.monotonic() + LOCK_WAIT_S
    pause = PAUSE_FIRST_S
    try:
        with resources.started.unmarked():
            answers = refresh(updates, resources.cache, resources.locks, lock_wait_s=0.0)
            while busy := [index for index, answer in enumerate(answers) if isinstance(answer, LockBusyError)]:
                if time.monotonic() + pause >= until:
                    break
                time.sleep(pause)
                pause *= 2
                again = refresh([updates[index] for index in busy], resources.cache, resources.locks, lock_wait_s=0.0)
                for index, answer in zip(busy, again, strict=True):
                    answers[index] = answer
    except Exception as error:  # the edge of the process: each finds out by itself whether it is the one
        if not isinstance(error, MACHINE_ERRORS):
            logger.exception("%d updates together", len(many))
        return [TransientError(str(error) or type(error).__name__)] * len(many)
    return answers
