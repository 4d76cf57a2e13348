"""A flow: one topic's way to the keys of one prefix. Its name, and the destination that its tasks carry.

Source: docs/decisions/0023-a-flow-has-a-queue-of-its-own.md
"""

import hashlib
import re
from typing import Final

import msgspec

DEFAULT_FLOW: Final = "product"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHORT: Final = 20
"""How long a flow's name may be to be shown with each of its tasks."""


class Destination(msgspec.Struct, frozen=True, array_like=True):
    """Where a task belongs: its flow, what precedes the entity id in the key, and the bridge's cache.

    ``cache`` is the cache's own name for itself (lastword/cache/flow_note.py); "" where it is not known.
    """

    flow: str
    key_prefix: str
    cache: str = ""

    def __str__(self) -> str:
        return f"flow {self.flow!r}, keys {self.key_prefix + '…'!r}"

    @property
    def shown(self) -> str:
        """What is shown of it beside a task's arguments: nothing of the default flow, nor of a long name."""
        return "" if self.flow == DEFAULT_FLOW or len(self.flow) > _SHORT else f", flow {self.flow}"


def flow_of(key_prefix: str) -> str:
    """The name of the flow that is known by its prefix alone; two prefixes never have the same.

    ``product:`` makes ``product``, ``order-`` makes ``order-``; what is not plain, or would be another's, has a hash.
    """
    stem = key_prefix.removesuffix(":")
    separated = not (stem or "-")[-1].isalnum()
    if NAME.fullmatch(stem) and (stem != key_prefix) != separated:
        return stem
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", key_prefix).strip("-._")[:40]
    digest = hashlib.sha256(key_prefix.encode(errors="surrogateescape")).hexdigest()
    return f"{plain or 'keys'}-{digest[:8]}"
