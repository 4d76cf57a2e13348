"""The seal under what a bridge reads: a stamp in Redis, by which it sees later whether what it read is still there.

Redis's snapshots, its append-only file and its replication keep the order of writes: what is left after a crash or a
failover is the data set as it was at some moment. So a data set that has a stamp has everything that was there before.
Source: docs/decisions/0007-redis-tells-how-far-it-holds.md
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError

from lastword.redis.pipeline import Command

STAMP_LIFE_MS: Final = 86_400_000  # a bridge that runs renews it every second

_SCRIPT: Final = Path(__file__).with_name("stamp.lua").read_bytes()
_SCRIPT_SHA: Final = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()
_NO_STAMP: Final = 2**53 - 1  # greater than any


class TooFewReplicasError(RedisError):
    """Fewer replicas than wanted have what was read."""


class Stamps:
    """The stamps that one bridge leaves, a greater one each time; by tag, the last that is known to be there."""

    def __init__(self, key_prefix: str, *, replicas: int = 0, wait_s: float = 1.0) -> None:
        self.key_prefix = key_prefix
        self.replicas = replicas
        self.wait_ms = round(wait_s * 1_000)
        self.bridge = secrets.token_hex(8)
        self.life_ms = STAMP_LIFE_MS
        self.numbers = count(1)
        self.stamped: dict[str, int] = {}
        self.loaded: set[str] = set()

    def stamp(self, tag: str) -> str:
        """The key of this bridge's stamp at a tag."""
        return f"lastword:stamp:{tag}{self.bridge}"

    def marker(self, tag: str) -> str:
        """The key of the markers at a tag, which all bridges share."""
        return f"lastword:marker:{tag}{self.key_prefix}"

    def seal(self, markers: Mapping[str, str] | None = None, *, begin: bool = False) -> "Seal":
        """For one round trip: a new stamp on every primary, and these markers with it.

        Over markers of another identity, and such as are ahead, only where their partitions ``begin``.
        """
        return Seal(self, markers or {}, begin=begin)

    def opening(self, fields: Sequence[str], *, anew: bool) -> "Seal":
        """For one round trip that reads markers; ``anew``: nothing that was read before it counts any more.

        Once it is ``adopted``, a primary that did not answer is not known: when it does, that is a loss.
        """
        return Seal(self, {}, fields=fields, anew=anew)


class Seal:
    """One round trip's stamps, and what came of it.

    ``lost`` says why a primary may not hold what it held, "" when every one does; ``complete``: every primary took the
    stamp and the markers; ``held``: at each tag the markers that were asked for. What was read in the round trip
    may be believed of a primary that took the stamp, and of no other.
    """

    def __init__(
        self,
        stamps: Stamps,
        markers: Mapping[str, str],
        *,
        fields: Sequence[str] = (),
        anew: bool = False,
        begin: bool = False,
    ) -> None:
        self._stamps = stamps
        self._markers = markers
        self._fields = fields
        self._anew = anew
        self._begin = "1" if begin else ""
        self._sent: dict[str, int] = {}
        self._stamped: dict[str, int] = {}
        self.lost = ""
        self.complete = True
        self.held: list[dict[str, bytes | None]] = []

    def commands(self, tags: Sequence[str]) -> list[Command]:
        """What to send to the primary in whose slots ``tags`` are, after everything that is read from it."""
        stamps = self._stamps
        written = [part for marker in self._markers.items() for part in marker]
        commands: list[Command] = [("HMGET", stamps.marker(tag), *self._fields) for tag in tags if self._fields]
        commands += [] if stamps.loaded.issuperset(tags) else [("SCRIPT LOAD", _SCRIPT)]
        for tag in tags:
            number = self._sent[tag] = next(stamps.numbers)
            least = 0 if self._anew else stamps.stamped.get(tag, _NO_STAMP)
            keys = (stamps.stamp(tag), stamps.marker(tag))
            commands.append(("EVALSHA", _SCRIPT_SHA, 2, *keys, least, number, stamps.life_ms, self._begin, *written))
        if stamps.replicas:
            # It waits for what this connection wrote, which is the stamp, and so for all that was written before it.
            commands.append(("WAIT", stamps.replicas, stamps.wait_ms))
        return commands

    def judge(self, tags: Sequence[str], answers: Sequence[Any]) -> RedisError | None:
        """The reason why nothing read from this primary may be believed; None when it may."""
        stamps = self._stamps
        error = next((answer for answer in answers if isinstance(answer, RedisError)), None)
        if error is not None:
            stamps.loaded.difference_update(tags)  # a restart or a SCRIPT FLUSH forgets scripts
            if self._begin:  # nobody knows whether its markers are ours: when it answers, it is not known
                for tag in tags:
                    stamps.stamped.pop(tag, None)
            self.complete = False
            return error
        stamps.loaded.update(tags)
        *others, reached = answers if stamps.replicas else (*answers, 0)
        refused = [tag for tag, taken in zip(tags, others[-len(tags) :], strict=True) if not taken]
        if refused:
            known = any(tag in stamps.stamped for tag in refused)
            self.lost = "it has lost writes" if known else "a part of it was not known"
            return None
        if reached < stamps.replicas:
            self.complete = False
            return TooFewReplicasError(
                f"{reached} replicas have what was written, after {stamps.wait_ms / 1_000:g} s; "
                f"LASTWORD_WAIT_REPLICAS wants {stamps.replicas}"
            )
        numbers = {tag: self._sent[tag] for tag in tags}
        self._stamped |= numbers
        if self._fields:
            self.held += [dict(zip(self._fields, markers, strict=True)) for markers in others[: len(tags)]]
        else:
            stamps.stamped |= numbers
        return None

    def adopt(self) -> None:
        """Count from the markers that were read: later round trips want the stamps that were left with them."""
        self._stamps.stamped = self._stamped
