"""Whether a topic that was made anew repeats offsets by which changes are ordered: they would lose, without a word.

Source: docs/decisions/0025-a-topic-has-an-id.md
"""

from collections.abc import Iterable

from lastword.contract.record import Update
from lastword.contract.rfc3339 import format_rfc3339


def why_repeated(updates: Iterable[Update], offset: int, timestamp_ms: int | None, *, least: int) -> str:
    """Why a record's updates may not be taken in: their version is their offset, of a generation before ``least``.

    "" if they may. A partition is stopped there, and nothing of it is committed, until the time is listed from which on
    the offsets count anew.
    """
    for update in updates if least else ():
        version = update.version
        # A letter that was sent back has the offset that it had at first.
        is_offset = version.is_position and not version.commit and version.sequence == offset
        if is_offset and version.generation < least:
            return _why(update, offset, timestamp_ms)
    return ""


def _why(update: Update, offset: int, timestamp_ms: int | None) -> str:
    anew = format_rfc3339((timestamp_ms or 0) * 1_000)
    return (
        f"the topic was made anew, and its changes are ordered by their offsets, which begin anew with it. Product "
        f"{update.entity_id!r} at offset {offset}, and what follows, would lose against what Redis holds of the topic "
        f"that was before. Add {anew} to LASTWORD_POSITIONS_ANEW"
    )
