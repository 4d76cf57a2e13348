"""How updates reach the cache: drop what it holds already, lock, write what is newer, release; an answer for each.

A notice says only that its product changed: what there is to write is loaded under the lock.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.cache import Cache, Write
from tasks.contract import Update
from tasks.errors import LoaderFailedError, LockBusyError, PermanentError, TransientError
from tasks.grant import Grant
from tasks.lock import Locks
from tasks.notices import NO_NOTICES, Notices
from tasks.outcome import Outcome
from tasks.version import Version

Answer = Outcome | TransientError | PermanentError | LoaderFailedError


class Awaited(Protocol):
    """What a group waits for: locks, or rows."""

    @property
    def answered(self) -> bool:
        """Whether the group can go on, or has waited long enough."""

    def when_answered(self, call: Callable[[], object]) -> None:
        """Call this once, from any thread, when it is answered; never, where no answer comes."""


@dataclass(eq=False, slots=True)
class _Job:
    """``update`` is a notice's until what it asks for is loaded."""

    place: int
    update: Update
    answer: Answer | None = None


def refresh(
    updates: Sequence[Update], cache: Cache, locks: Locks, notices: Notices = NO_NOTICES, *, lock_wait_s: float = 1.0
) -> list[Answer]:
    """Make the cache hold each update's version or a newer one; return what became of each, in order.

    An update that could not be applied is answered with the error that says whether another try can help. The busy lock
    of a lone product is waited for, up to ``lock_wait_s``.
    """
    jobs = _jobs(updates)
    try:
        _refresh(jobs, cache, locks, notices, lock_wait_s)
    except TransientError as error:
        _answer(_open(jobs), error)
    return _answers(jobs)


def refresh_group(
    updates: Sequence[Update], cache: Cache, locks: Locks, notices: Notices = NO_NOTICES, *, look_first: bool = True
) -> Generator[Awaited, None, list[Answer]]:
    """Do as ``refresh`` does for a group, in which nobody waits for a busy lock; return its answers.

    Without ``look_first`` the locks are asked for at once, and what the cache holds already is found out by the write.

    Between asking for the locks and using them it yields, so that other work can be done while ZooKeeper answers, and
    again while rows are loaded. One that is closed there, and not gone on with, holds nothing.
    """
    jobs = _jobs(updates)
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
                if missing := _notices(jobs, grant):
                    loading = notices.load([job.update for job in missing])
                    yield loading
                    _take_rows(missing, notices, loading.rows())
                    newest = _newest(_open(jobs))
                _write(_open(jobs), newest, cache, grant)
    except TransientError as error:
        _answer(_open(jobs), error)
    return _answers(jobs)


def _refresh(jobs: Sequence[_Job], cache: Cache, locks: Locks, notices: Notices, lock_wait_s: float) -> None:
    _drop_held(jobs, cache)
    alone = len({job.update.product_id for job in jobs}) == 1
    until = time.monotonic() + (lock_wait_s if alone else 0.0)
    busy = _write_locked(_open(jobs), cache, locks, notices, until)
    while busy and alone and _left(until):
        locks.wait(busy[0], _left(until))
        # Whoever held the lock may have written this version or a newer one: look before contending.
        _drop_held(_open(jobs), cache)
        busy = _write_locked(_open(jobs), cache, locks, notices, until)


def _drop_held(jobs: Sequence[_Job], cache: Cache) -> None:
    """Answer the updates that the cache holds already; they need no lock."""
    if jobs:
        for job, outcome in zip(jobs, cache.holds([job.update for job in jobs]), strict=True):
            job.answer = outcome


def _write_locked(jobs: Sequence[_Job], cache: Cache, locks: Locks, notices: Notices, until: float) -> Sequence[str]:
    """Write the updates whose products' locks are to be had; return the products whose locks are busy."""
    if not jobs:
        return []
    newest = _newest(jobs)
    with locks.acquire(newest, wait_s=_left(until)) as grant:
        if missing := _notices(jobs, grant):
            _take_rows(missing, notices, notices.load([job.update for job in missing]).rows())
            newest = _newest(_open(jobs))
        _write(_open(jobs), newest, cache, grant)
        return grant.busy


def _newest(jobs: Sequence[_Job]) -> dict[str, Version]:
    newest: dict[str, Version] = {}
    for job in jobs:
        product_id, version = job.update.product_id, job.update.version
        newest[product_id] = max(version, newest.get(product_id, version))
    return newest


def _notices(jobs: Sequence[_Job], grant: Grant) -> list[_Job]:
    """Those whose rows are to be loaded: the locks of their products are held."""
    missing = [job for job in _open(jobs) if job.update.is_notice and job.update.product_id in grant.tokens]
    if missing:
        grant.check()
    return missing


def _take_rows(jobs: Sequence[_Job], notices: Notices, rows: Mapping[str, object]) -> None:
    """Make of each notice the update that it asked for, or answer it."""
    for job in jobs:
        found = notices.update_of(job.place, job.update, rows[job.update.product_id])
        if isinstance(found, Update):
            job.update = found
        else:
            job.answer = found


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


def _jobs(updates: Sequence[Update]) -> list[_Job]:
    return [_Job(place, update) for place, update in enumerate(updates)]


def _open(jobs: Sequence[_Job]) -> list[_Job]:
    return [job for job in jobs if job.answer is None]


def _answer(jobs: Sequence[_Job], error: TransientError) -> None:
    for job in jobs:
        job.answer = error


def _answers(jobs: Sequence[_Job]) -> list[Answer]:
    return [job.answer or LockBusyError(f"the lock of product {job.update.product_id!r} is busy") for job in jobs]


def _left(until: float) -> float:
    return max(0.0, until - time.monotonic())
