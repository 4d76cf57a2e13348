"""Whether a source's positions have begun anew: what comes then would lose against all of before, without a word.

Source: docs/decisions/0021-positions-before-clocks.md
"""

from collections.abc import Iterable
from typing import Final

from bridge.topic.stopped import Stopped
from lastword.contract.record import Update
from lastword.contract.rfc3339 import format_rfc3339
from lastword.formats.debezium_source import ALIGNED

LATER_US: Final = 60_000_000
"""By so much must a commit that stands before the last one be later: the times of commits do not grow as they do."""


class Positions:
    """Stops a partition at the first change whose commit is before the last one's and was made a minute later.

    The commits of a log come in their order. One that a connector writes again is before the last one too, and was made
    before it. An offset tells nothing, nor a row that was read right after a commit, which bears another clock. What is
    stopped stays so, also where the partition goes and comes again; another bridge, and the next one, know nothing.
    """

    def __init__(self) -> None:
        self._last: dict[int, Update] = {}
        self._stopped = Stopped()

    def follow(self, number: int, updates: Iterable[Update], timestamp_ms: int | None) -> bool:
        """Whether a record's updates may follow in a partition, which is stopped where they may not."""
        for update in updates:
            version, last = update.version, self._last.get(number)
            if not (version.commit and version.sequence) or version.is_apart:
                continue
            if last is not None and version.updated_at_us < last.version.updated_at_us:
                if update.updated_at_us > last.updated_at_us + LATER_US and number not in self._stopped:
                    self._stopped.stop(number, _why(update, last, timestamp_ms))
            elif version.commit != version.sequence // ALIGNED:  # else the commit is not told
                self._last[number] = update
        return number not in self._stopped

    def stopped(self, now: float) -> frozenset[int]:
        """The partitions that are stopped; complains of them now and then."""
        return self._stopped.numbers(now)


def _why(update: Update, last: Update, timestamp_ms: int | None) -> str:
    anew = format_rfc3339((timestamp_ms or 0) * 1_000)
    return (
        f"product {update.product_id!r} has version {update.version}, before {last.version} of product "
        f"{last.product_id!r}, and was committed later. The source's positions have begun anew, as after a restored "
        f"backup, or two connectors write the topic. In the first case add {anew} to LASTWORD_POSITIONS_ANEW"
    )
