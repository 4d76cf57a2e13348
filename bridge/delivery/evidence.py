"""What tells that an update can never be applied: a worker's word, or the marks of the workers it has killed. Pure.

Source: docs/decisions/0008-giving-up-on-evidence.md
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from bridge.delivery.in_flight import InFlight, Mark
from lastword.cache.cache import Poll
from lastword.cache.failures import LOADED, TaskFailure

MARKED_FROM: Final = 2
"""How often an update has been sent before the first send that is marked."""

KILLED: Final = 3
"""How many sends must have begun and never ended."""

NEW_SENDS: Final = 10
"""For the marks of how many of the newest sends to ask, beside those that have been seen."""

WORKER_LOST: Final = "WorkerLost"


class Hopeless(NamedTuple):
    """An update to give up, with the class and the words of the reason."""

    entry: InFlight
    error: str
    reason: str


def is_marked(sends: int) -> bool:
    """Whether the next send of an update that was sent so often is marked."""
    return sends >= MARKED_FROM


def marked_sends(entry: InFlight) -> Sequence[str]:
    """The nonces whose marks are to be asked for."""
    newest = entry.nonces[MARKED_FROM:][-NEW_SENDS:]
    return [*entry.marks, *(nonce for nonce in newest if nonce not in entry.marks)]


def hopeless(asked: Mapping[str, InFlight], poll: Poll, now: float, working_s: float) -> Iterator[Hopeless]:
    """Find the updates that can never be applied among those that were asked for, by their task ids.

    ``working_s``: for how long after a mark was first seen its worker may still be at work. Call it when what the poll
    saw of the versions has been taken in; who is confirmed by then is none of these.
    """
    if poll.missed:
        # Nobody knows whether the entity is not held after all, nor whether a mark is not there any more.
        return
    for task_id, entry in asked.items():
        failure = poll.failures.get(task_id)
        if failure and _is_of(failure, entry) and failure.error != LOADED:
            yield Hopeless(entry, failure.error, failure.message)
            continue
        _see(entry, poll.started.get(task_id, {}), now)
        killed = [mark.who for mark in entry.marks.values() if mark.since + working_s <= now]
        if len(killed) >= KILLED:
            yield Hopeless(entry, WORKER_LOST, _words(killed))


def loaded(asked: Mapping[str, InFlight], poll: Poll) -> Iterator[InFlight]:
    """Find the updates for which a worker has loaded what there was: no version tells that they have arrived."""
    for task_id, entry in asked.items():
        failure = poll.failures.get(task_id)
        if failure and failure.error == LOADED and _is_of(failure, entry):
            yield entry


def _is_of(failure: TaskFailure, entry: InFlight) -> bool:
    return entry.update is not None and failure.version == entry.update.version and failure.nonce in entry.nonces


def _see(entry: InFlight, started: Mapping[str, str], now: float) -> None:
    """Remember since when each mark has been there. One that was set anew, by a retry, counts from now."""
    entry.marks = {
        nonce: mark if (mark := entry.marks.get(nonce)) and mark.who == who else Mark(who, now)
        for nonce, who in started.items()
    }


def _words(killed: Sequence[str]) -> str:
    return (
        f"{len(killed)} workers began this update, alone, and none of them came to an end with it; it seems to kill "
        f"whoever processes it. They were: {'; '.join(killed)}"
    )
