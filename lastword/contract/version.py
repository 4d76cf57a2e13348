"""The order of two updates of one entity."""

import re
from typing import Final, NamedTuple, Self

VERSION_LIMIT: Final = 2**53
"""Both numbers of a version are below it: Lua compares them as doubles, exact up to there."""

POSITIONS_FROM: Final = 2**52
"""From here on the first number is no time, but a generation of positions; as a time it is the year 2112."""

GENERATIONS: Final = 16
"""How many generations of positions there are."""

FIRST_LIMIT: Final = (VERSION_LIMIT - POSITIONS_FROM) // GENERATIONS
"""What the first number of a position of two is below: 2^48."""

APART: Final = FIRST_LIMIT - 2**44
"""From here on the first number says that nothing tells which change of an entity is the later: see ``is_apart``."""

Position = int | tuple[int, int]
"""Where a change is in its source's order: a number that grows, or two, of which the first counts first."""

# [0-9] and not \d, which also takes the digits of other scripts; 2**53 - 1 has 16 digits.
_TEXT: Final = re.compile(r"(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})")
_QUOTED_LENGTH: Final = 40


class Version(NamedTuple):
    """``updated_at`` in microseconds since the epoch, then ``sequence``; compared as two numbers, in this order.

    Of a source whose changes have positions: 2^52 plus 2^48 times the positions' generation, plus the first number of a
    position that has two; then the other one. So a version by position is above every version by time.
    Source: docs/decisions/0021-positions-before-clocks.md

    Of an entity whose changes lie in several partitions, whose offsets do not compare, a version is apart: a change has
    the first number ``APART``, and is loaded for whatever is held; what was loaded has a greater one each time.
    Source: docs/decisions/0026-ids-that-change.md

    Written ``1763800000000123-42``, like the id of an entry in a Redis stream.
    """

    updated_at_us: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.updated_at_us}-{self.sequence}"

    @classmethod
    def at(cls, position: Position, generation: int) -> Self:
        """The version of a change at a source's position; ValueError where a version cannot hold it."""
        first, second = position if isinstance(position, tuple) else (0, position)
        if not (0 <= first < FIRST_LIMIT and 0 <= second < VERSION_LIMIT):
            raise ValueError(f"position {position} is out of range: numbers below 2^53, of two the first below 2^48")
        return cls(POSITIONS_FROM + generation * FIRST_LIMIT + first, second)

    @property
    def is_position(self) -> bool:
        """Whether it is a source's position, and tells no time."""
        return self.updated_at_us >= POSITIONS_FROM

    @property
    def generation(self) -> int:
        """Of a version by position: the generation of its source's positions."""
        return (self.updated_at_us - POSITIONS_FROM) // FIRST_LIMIT

    @property
    def commit(self) -> int:
        """Of a version by position: the first number of a position of two, else 0."""
        return (self.updated_at_us - POSITIONS_FROM) % FIRST_LIMIT if self.is_position else 0

    @property
    def is_apart(self) -> bool:
        """Whether the entity's changes are in several partitions, so that it compares with no other's version."""
        return self.updated_at_us >= POSITIONS_FROM and self.commit >= APART

    @property
    def asks(self) -> bool:
        """Whether it is of a change that is apart, and no version that is held."""
        return self.updated_at_us >= POSITIONS_FROM and self.commit == APART

    def covers(self, other: "Version") -> bool:
        """Whether an entity that is held at this version needs the other one no more."""
        return other <= self and not self.tells_nothing_of(other)

    def tells_nothing_of(self, other: "Version") -> bool:
        """Whether nothing says which of the two is newer."""
        return (
            self.is_position
            and other.is_position
            and (self.is_apart is not other.is_apart or self.asks or other.asks)
            and self.generation == other.generation
        )

    def asked(self) -> "Version":
        """That of the same change, of which it has turned out that it is apart."""
        return self if self.is_apart else Version.at((APART, self.sequence), self.generation)

    def loaded(self, held: "Version | None", token: str) -> "Version":
        """The version at which to write what was loaded for a change that asks, above what was ``held`` before.

        It is held under the lock with this ``token``. A later load has a greater number; of two that saw the same one
        held, as after a lost session, the later lock has the greater token.
        """
        last = held.updated_at_us if held is not None and held.tells_nothing_of(self) and held.is_apart else 0
        return Version(max(last, self.updated_at_us) + 1, int(token, 16) % VERSION_LIMIT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str(version)`` writes, and nothing else: ``str(Version.parse(text)) == text``.

        ValueError for any other text; its message quotes no more than the beginning.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text[:_QUOTED_LENGTH]!r} is not a version; wanted are two decimal numbers without leading zeros "
                "and a hyphen between them, like 1763800000000123-42"
            )
        updated_at_us, sequence = int(match[1]), int(match[2])
        if updated_at_us >= VERSION_LIMIT or sequence >= VERSION_LIMIT:
            raise ValueError(f"{text!r} is not a version: a number in it is above 2^53-1 = {VERSION_LIMIT - 1}")
        return cls(updated_at_us, sequence)
