"""What became of one update."""

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The answer of ``write_if_newer.lua``; each of them means that the cache holds this version or a newer one."""

    APPLIED = "applied"
    STALE = "stale"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


UNREMARKABLE: Final = frozenset({Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE})
"""Of which a task has nothing to say but the outcome itself."""
