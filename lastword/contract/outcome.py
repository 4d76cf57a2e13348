"""What became of one update."""

from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """The answers of ``write_if_newer.lua``, and ours; each means that the cache holds this version or a newer one."""

    APPLIED = "applied"
    STALE = "stale"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    LOADED = "loaded"
    """Nothing tells where the update belongs, and what was loaded after it came is held: the bridge is to be told."""


UNREMARKABLE: Final = frozenset({Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE})
"""Of which a task has nothing to say but the outcome itself."""
