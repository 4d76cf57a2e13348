"""Whether a topic that was made anew repeats offsets by which changes are ordered: they would lose, without a word.

Source: docs/decisions/0025-a-topic-has-an-id.md
"""

from collections.abc import Iterable

from bridge.topic.stopped import Stopped
from lastword.contract.record import Update
from lastword.contract.rfc3339 import format_rfc3339


class RepeatedOffsets:
    """Stops a partition at the first change whose version is its offset, in a generation of the topic that was before.

    Nothing of it is committed then. It flows again once the time is listed from which on the offsets count anew.
    """

    def __init__(self) -> None:
        self._least: dict[int, int] = {}
        self._stopped = Stopped()

    def begin(self, number: int, least: int) -> None:
        """A partition is read from where it was checked; by offset, its changes must be of this generation at least."""
        self._least[number] = least
        self._stopped.go_on(number)

    def follow(self, number: int, updates: Iterable[Update], offset: int, timestamp_ms: int | None) -> bool:
        """Whether a record's updates may follow in a partition, which is stopped where they may not."""
        least = self._least.get(number, 0)
        if least and number not in self._stopped:
            for update in updates:
                version = update.version
                # A letter that was sent back has the offset that it had at first.
                is_offset = version.is_position and not version.commit and version.sequence == offset
                if is_offset and version.generation < least:
                    self._stopped.stop(number, _why(update, offset, timestamp_ms))
                    break
        return number not in self._stopped

    def stopped(self, now: float) -> frozenset[int]:
        """The partitions that are stopped; complains of them now and then."""
        return self._stopped.numbers(now)

    def gone(self, number: int) -> None:
        """Forget a partition that is somebody else's."""
        self._stopped.go_on(number)


def _why(update: Update, offset: int, timestamp_ms: int | None) -> str:
    anew = format_rfc3339((timestamp_ms or 0) * 1_000)
    return (
        f"the topic was made anew, and its changes are ordered by their offsets, which begin anew with it. Product "
        f"{update.product_id!r} at offset {offset}, and what follows, would lose against what Redis holds of the topic "
        f"that was before. Add {anew} to LASTWORD_POSITIONS_ANEW"
    )
