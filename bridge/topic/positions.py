"""Whether a source's positions have begun anew: what comes then would lose against all of before, without a word.

Source: docs/decisions/0021-positions-before-clocks.md
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from lastword.contract.record import Update
from lastword.contract.rfc3339 import format_rfc3339
from lastword.contract.version import Version
from lastword.formats.debezium.source import tells_commit

LATER_US: Final = 5_000_000
"""By so much must a commit that stands before the last one be later: the times of commits do not grow as they do."""

_TEXT: Final = re.compile(r"([0-9]{1,16}-[0-9]{1,16})@([0-9]{1,16})")


class Commit(NamedTuple):
    """A commit of the source, by a change of it: the change's position, and when it was made, in microseconds."""

    version: Version
    at_us: int

    def __str__(self) -> str:
        return f"{self.version}@{self.at_us}"

    @classmethod
    def parse(cls, told: str | bytes | None) -> Self | None:
        """Read what ``str(commit)`` writes; None for anything else."""
        match = _TEXT.fullmatch(told.decode(errors="replace") if isinstance(told, bytes) else told or "")
        try:
            return cls(Version.parse(match[1]), int(match[2])) if match else None
        except ValueError:
            return None


class Positions:
    """Notices a change of one partition whose commit is before the last one's and was made seconds later.

    The commits of a log come in their order. One that a connector writes again is before the last one too, and was made
    before it. An offset tells nothing, nor a row that was read right after a commit, which bears another clock, nor one
    that has no time but its record's: what is written again has a later one. The
    last commit is told with each offset that is committed, in Kafka and, for a topic that is deleted, in Redis beside
    the marker: whoever reads the partition next knows it.
    """

    def __init__(self) -> None:
        self._last: Commit | None = None

    def begin(self, told: str | bytes | None) -> None:
        """The partition is read on from where somebody has ``told`` the last commit, if there was one."""
        if (commit := Commit.parse(told)) is not None:
            self._last = max(commit, self._last or commit)

    def told(self) -> str:
        """The last commit, as ``begin`` understands it; "" where none is known."""
        return str(self._last or "")

    def why_stop(self, updates: Iterable[Update], timestamp_ms: int | None) -> str:
        """Take note of a record's updates; return why they may not follow what came before them, "" if they may."""
        for update in updates:
            version, last = update.version, self._last
            if not (version.commit and version.sequence) or version.is_apart:
                continue
            if timestamp_ms is not None and update.updated_at_us == timestamp_ms * 1_000:
                continue
            if last is not None and version.updated_at_us < last.version.updated_at_us:
                if update.updated_at_us > last.at_us + LATER_US:
                    return _why(update, last, timestamp_ms)
            elif tells_commit(version):
                self._last = Commit(version, update.updated_at_us)
        return ""


def _why(update: Update, last: Commit, timestamp_ms: int | None) -> str:
    anew = format_rfc3339((timestamp_ms or 0) * 1_000)
    return (
        f"product {update.entity_id!r} has version {update.version}, before the last commit's {last.version}, and was "
        f"committed later. The source's positions have begun anew, as after a restored backup, or two connectors write "
        f"the topic. In the first case add {anew} to LASTWORD_POSITIONS_ANEW"
    )
