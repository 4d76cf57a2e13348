"""How updates reach the cache: drop what it holds already, lock, write what is newer, release; an answer for each."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from tasks.cache import Cache, Write
from tasks.contract import Update
from tasks.errors import LockBusyError, PermanentError, TransientError
from tasks.grant import Asked, Grant
from tasks.lock import Locks
from tasks.outcome import Outcome
from tasks.version import Version

Answer = Outcome | TransientError | PermanentError


@dataclass(eq=False, slots=True)
class _Job:
    update: Update
    answer: Answer | None = None


def refresh(updates: Sequence[Update], cache: Cache, locks: Locks, *, lock_wait_s: float = 1.0) -> list[Answer]:
    """Make the cache hold each update's version or a newer one; return what became of each, in order.

    An update that could not be applied is answered with the error that says whether another try can help. The busy lock
    of a lone product is waited for, up to ``lock_wait_s``.
    """
    jobs = [_Job(update) for update in updates]
    try:
        _refresh(jobs, cache, locks, lock_wait_s)
    except TransientError as error:
        _answer(_open(jobs), error)
    return _answers(jobs)


def refresh_group(
    updates: Sequence[Update], cache: Cache, locks: Locks, *, look_first: bool = True
) -> Generator[Asked, None, list[Answer]]:
    """Do as ``refresh`` does for a group, in which nobody waits for a busy lock; return its answers.

    Without ``look_first`` the locks are asked for at once, and what the cache holds already is found out by the write.

    Between asking for the locks and using them it yields, so that other work can be done while ZooKeeper answers. One
    that is closed there, and not gone on with, holds nothing.
    """
    jobs = [_Job(update) for update in updates]
    try:
        if look_first:
            _drop_held(jobs, cache)
        newest = _newest(_open(jobs))
        if newest:
            asked = locks.ask(newest)
            try:
                yield asked
            except GeneratorExit:
                asked.give_up()
                raise
            with asked.grant() as grant:
                _write(_open(jobs), newest, cache, grant)
    except TransientError as error:
        _answer(_open(jobs), error)
    return _answers(jobs)


def _refresh(jobs: Sequence[_Job], cache: Cache, locks: Locks, lock_wait_s: float) -> None:
    _drop_held(jobs, cache)
    alone = len({job.update.product_id for job in jobs}) == 1
    until = time.monotonic() + (lock_wait_s if alone else 0.0)
    busy = _write_locked(_open(jobs), cache, locks, until)
    while busy and alone and _left(until):
        locks.wait(busy[0], _left(until))
        # Whoever held the lock may have written this version or a newer one: look before contending.
        _drop_held(_open(jobs), cache)
        busy = _write_locked(_open(jobs), cache, locks, until)


def _drop_held(jobs: Sequence[_Job], cache: Cache) -> None:
    """Answer the updates that the cache holds already; they need no lock."""
    if jobs:
        for job, outcome in zip(jobs, cache.holds([job.update for job in jobs]), strict=True):
            job.answer = outcome


def _write_locked(jobs: Sequence[_Job], cache: Cache, locks: Locks, until: float) -> Sequence[str]:
    """Write the updates whose products' locks are to be had; return the products whose locks are busy."""
    if not jobs:
        return []
    newest = _newest(jobs)
    with locks.acquire(newest, wait_s=_left(until)) as grant:
        _write(jobs, newest, cache, grant)
        return grant.busy


def _newest(jobs: Sequence[_Job]) -> dict[str, Version]:
    newest: dict[str, Version] = {}
    for job in jobs:
        product_id, version = job.update.product_id, job.update.version
        newest[product_id] = max(version, newest.get(product_id, version))
    return newest


def _write(jobs: Sequence[_Job], newest: Mapping[str, Version], cache: Cache, grant: Grant) -> None:
    """Write under the locks: of each product the newest version, by which the others are overtaken."""
    locked = [job for job in jobs if job.update.product_id in grant.tokens]
    leading = [job for job in locked if job.update.version == newest[job.update.product_id]]
    if not leading:
        return
    grant.check()
    written = cache.write([Write(job.update, grant.tokens[job.update.product_id]) for job in leading])
    for job, answer in zip(leading, written, strict=True):
        job.answer = answer
    errors = {job.update.product_id: job.answer for job in leading if not isinstance(job.answer, Outcome)}
    for job in _open(locked):
        job.answer = errors.get(job.update.product_id, Outcome.STALE)


def _open(jobs: Sequence[_Job]) -> list[_Job]:
    return [job for job in jobs if job.answer is None]


def _answer(jobs: Sequence[_Job], error: TransientError) -> None:
    for job in jobs:
        job.answer = error


def _answers(jobs: Sequence[_Job]) -> list[Answer]:
    return [job.answer or LockBusyError(f"the lock of product {job.update.product_id!r} is busy") for job in jobs]


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
