"""How updates reach the cache: drop what it holds already, lock, write what is newer, release; an answer for each.

A notice says only that its entity changed: what there is to write is loaded under the lock. So it is for an update of
which nothing tells whether it is newer than what is held: see docs/decisions/0026-ids-that-change.md.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from lastword.cache.cache import Cache, Standing, Write, Written
from lastword.contract.errors import (
    ApartError,
    LoaderFailedError,
    LockBusyError,
    NoLoaderError,
    PermanentError,
    TransientError,
)
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from tasks.lock.grant import Grant
from tasks.lock.locks import Locks
from tasks.notices.loader import Loading
from tasks.notices.notices import NO_NOTICES, Notices

LOCK_WAIT_S: Final = 1.0
"""How long a task's first try waits for a busy lock."""

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
    """``update`` is a notice's until what it asks for is loaded; ``held`` was there before, where that counts."""

    index: int
    update: Update
    held: Version | None = None
    answer: Answer | None = None


def refresh(
    updates: Sequence[Update],
    cache: Cache,
    locks: Locks,
    notices: Notices = NO_NOTICES,
    *,
    lock_wait_s: float = LOCK_WAIT_S,
) -> list[Answer]:
    """Drive a group to its end, and return its answers: ``refresh_group`` for whoever has nothing else to do meanwhile.

    The busy lock of a lone entity is waited for, up to ``lock_wait_s``.
    """
    entity_ids = {update.entity_id for update in updates}
    until = time.monotonic() + (lock_wait_s if len(entity_ids) == 1 else 0.0)
    while True:
        # Whoever held the lock may have written this version or a newer one: look before contending.
        answers = _drive(refresh_group(updates, cache, locks, notices, lock_wait_s=_remaining_s(until)))
        if not (_remaining_s(until) and any(isinstance(answer, LockBusyError) for answer in answers)):
            return answers
        locks.wait(updates[0].entity_id, _remaining_s(until))


def _drive(steps: Generator[Awaited, None, list[Answer]]) -> list[Answer]:
    """Go through a group's steps, each of which waits for what it needs."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answers: list[Answer] = end.value
            return answers


def refresh_group(
    updates: Sequence[Update],
    cache: Cache,
    locks: Locks,
    notices: Notices = NO_NOTICES,
    *,
    read_first: bool = True,
    lock_wait_s: float | None = None,
) -> Generator[Awaited, None, list[Answer]]:
    """Make the cache hold each update's version or a newer one; return what became of each, in order.

    An update that could not be applied is answered with the error that says whether another try can help. Without
    ``read_first`` the locks are asked for at once, and what the cache holds already is found out by the write. With
    ``lock_wait_s`` a lock that another thread of this process has is waited for.

    Between asking for the locks and using them it yields, so that other work can be done while ZooKeeper answers, and
    again while rows are loaded. One that is closed there, and not gone on with, holds nothing.
    """
    jobs = _jobs(updates)
    try:
        if read_first:
            _drop_held(jobs, cache)
        newest = _newest(_open(jobs))
        if newest:
            asked = locks.ask(newest, wait_s=lock_wait_s)
            try:
                yield asked
            except GeneratorExit:
                asked.give_up()
                raise
            with asked.grant() as grant:
                _write_ready(jobs, cache, grant)
                while missing := _notices(jobs, grant):
                    if loading := _load(missing, cache, notices):
                        yield loading
                        _take_rows(missing, notices, loading.rows(), grant)
                    _write_ready(jobs, cache, grant)
    except TransientError as error:
        _answer(_open(jobs), error)
    return _answers(jobs)


def _drop_held(jobs: Sequence[_Job], cache: Cache) -> None:
    """Answer the updates that the cache holds already; they need no lock."""
    if jobs:
        for job, standing in zip(jobs, cache.holds([job.update for job in jobs]), strict=True):
            _settle(job, standing)


def _newest(jobs: Sequence[_Job]) -> dict[str, Version]:
    newest: dict[str, Version] = {}
    for job in jobs:
        entity_id, version = job.update.entity_id, job.update.version
        newest[entity_id] = max(version, newest.get(entity_id, version))
    return newest


def _notices(jobs: Sequence[_Job], grant: Grant) -> list[_Job]:
    """Those whose rows are to be loaded: the locks of their entities are held."""
    missing = [job for job in _open(jobs) if job.update.is_notice and job.update.entity_id in grant.tokens]
    if missing:
        grant.check()
    return missing


def _load(missing: Sequence[_Job], cache: Cache, notices: Notices) -> Loading | None:
    """Begin to load the rows, having noted what is held of entities that are apart; None: there is no loader."""
    asking = [job for job in missing if job.update.version.asks]
    if asking:
        held = cache.held([job.update.entity_id for job in asking])
        for job in asking:
            job.held = held.get(job.update.entity_id)
    try:
        return notices.load([job.update for job in missing])
    except NoLoaderError as error:
        _answer(missing, error)
        return None


def _take_rows(jobs: Sequence[_Job], notices: Notices, rows: Mapping[str, object], grant: Grant) -> None:
    """Make of each notice the update that it asked for, or answer it."""
    for job in jobs:
        loaded = notices.update_of(job.index, job.update, rows[job.update.entity_id])
        if not isinstance(loaded, Update):
            job.answer = loaded
            continue
        if loaded.version.asks:
            version = loaded.version.loaded(job.held, grant.tokens[loaded.entity_id])
            loaded = msgspec.structs.replace(loaded, version=version)
        job.update = loaded


def _write_ready(jobs: Sequence[_Job], cache: Cache, grant: Grant) -> None:
    """Write what need not be loaded, of entities of which nothing is to be loaded."""
    unloaded = {job.update.entity_id for job in _open(jobs) if job.update.is_notice}
    _write([job for job in _open(jobs) if job.update.entity_id not in unloaded], cache, grant)


def _settle(job: _Job, standing: Standing | Written) -> None:
    """Answer the job, if that is an answer; where nothing tells which is newer, let it ask for what there is now."""
    if isinstance(standing, ApartError):
        job.update = msgspec.structs.replace(job.update, version=job.update.version.asked(), data=None)
        job.answer = None
    else:
        job.answer = standing


def _write(jobs: Sequence[_Job], cache: Cache, grant: Grant) -> None:
    """Write under the locks: of each entity the newest version, by which the others are overtaken."""
    newest = _newest(jobs)
    locked = [job for job in jobs if job.update.entity_id in grant.tokens]
    leading = [job for job in locked if job.update.version == newest[job.update.entity_id]]
    if not leading:
        return
    grant.check()
    written = cache.write([Write(job.update, grant.tokens[job.update.entity_id]) for job in leading])
    for job, answer in zip(leading, written, strict=True):
        apart = isinstance(answer, Outcome) and job.update.version.is_apart
        _settle(job, Outcome.LOADED if apart else answer)
    asking = {job.update.entity_id for job in leading if job.answer is None}
    errors = {job.update.entity_id: job.answer for job in leading if not isinstance(job.answer, Outcome)}
    for job in _open(locked):
        entity_id = job.update.entity_id
        if entity_id in asking:
            _settle(job, ApartError())
        else:
            job.answer = errors.get(entity_id, Outcome.LOADED if newest[entity_id].is_apart else Outcome.STALE)


def _jobs(updates: Sequence[Update]) -> list[_Job]:
    return [_Job(index, update) for index, update in enumerate(updates)]


def _open(jobs: Sequence[_Job]) -> list[_Job]:
    return [job for job in jobs if job.answer is None]


def _answer(jobs: Sequence[_Job], error: TransientError) -> None:
    for job in jobs:
        job.answer = error


def _answers(jobs: Sequence[_Job]) -> list[Answer]:
    return [job.answer or LockBusyError(f"the lock of product {job.update.entity_id!r} is busy") for job in jobs]


def _remaining_s(until: float) -> float:
    return max(0.0, until - time.monotonic())
