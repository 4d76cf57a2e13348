"""A flow: one topic's way to the keys of one prefix. Its name, its queue, and the destination that its tasks carry.

Source: docs/decisions/0023-a-flow-has-a-queue-of-its-own.md
"""

import hashlib
import re
from typing import Final

import msgspec
from pydantic import Field

from tasks.environment import Settings

DEFAULT_PREFIX: Final = "product:"
DEFAULT_FLOW: Final = "product"
DEFAULT_QUEUE: Final = "lastword"
"""The queue of the flow with the default name, as it was when there was no other."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHORT: Final = 20
"""How long a flow's name may be to be shown with each of its tasks."""


class FlowSettings(Settings):
    """What bridge and workers of a flow must agree on, or they do not find each other."""

    key_prefix: str = Field(
        DEFAULT_PREFIX, min_length=1, description="What stands before the product id in a Redis key"
    )
    flow: str | None = Field(
        None,
        pattern=rf"^{_PLAIN.pattern}$",
        description="The flow's name, where several share a broker: its queue is `lastword.<name>`, that of the flow "
        "`product` is `lastword`. Not set: made from the key prefix",
    )

    @property
    def flow_name(self) -> str:
        """The flow's name, given or made."""
        return self.flow or flow_of(self.key_prefix)

    @property
    def queue(self) -> str:
        """The Celery queue of this flow alone."""
        return DEFAULT_QUEUE if self.flow_name == DEFAULT_FLOW else f"{DEFAULT_QUEUE}.{self.flow_name}"

    @property
    def lock_prefix(self) -> str:
        """What precedes the product id where a lock lies: nothing for the default flow, as it always was."""
        return "" if self.flow_name == DEFAULT_FLOW else self.key_prefix

    @property
    def destination(self) -> "Destination":
        """What a worker with these settings serves, whichever its cache."""
        return Destination(self.flow_name, self.key_prefix)


class Destination(msgspec.Struct, frozen=True, array_like=True):
    """Where a task belongs: its flow, what precedes the product id in the key, and the bridge's cache.

    ``cache`` is the cache's own name for itself (tasks/flow_note.py); "" where it is not known.
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
    if _PLAIN.fullmatch(stem) and (stem != key_prefix) != separated:
        return stem
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", key_prefix).strip("-._")[:40]
    digest = hashlib.sha256(key_prefix.encode(errors="surrogateescape")).hexdigest()
    return f"{plain or 'keys'}-{digest[:8]}"
