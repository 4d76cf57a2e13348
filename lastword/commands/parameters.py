"""What the commands take beside numbers and names: an entity id, a time, a part of a partition, a place on a topic."""

import re
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Self, TypeVar

import click
import msgspec

from lastword.contract.fields import entity_id_of
from lastword.contract.rfc3339 import parse_rfc3339

T = TypeVar("T")

_ID: Final[msgspec.json.Decoder[str | int]] = msgspec.json.Decoder(str | int)
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_RECORD_ID: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")
_RANGE: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,18})(?:-([0-9]{1,18}))?")


class RecordId(NamedTuple):
    """Where a record is on its topic; written ``partition:offset``."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str(record_id)`` writes; ValueError for anything else."""
        match = _RECORD_ID.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:80]!r} is no place on a topic; wanted is partition:offset, like 0:17")
        return cls(int(match[1]), int(match[2]))


class Range(NamedTuple):
    """A part of a partition: from the first offset to the last, both included; None: to the end."""

    partition: int
    first: int
    last: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``partition:first`` or ``partition:first-last``; ValueError for anything else."""
        match = _RANGE.fullmatch(text)
        if match is None:
            raise ValueError(
                f"{text[:80]!r} is no part of a partition; wanted is 0:100-250, or 0:100 for all from there"
            )
        first, last = int(match[2]), None if match[3] is None else int(match[3])
        if last is not None and last < first:
            raise ValueError(f"{text!r} ends before it begins")
        return cls(int(match[1]), first, last)


def parse_entity_id(text: str) -> str:
    """Return an entity id as a record can have it; ValueError for anything else."""
    try:
        return entity_id_of(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"product id {text[:80]!a} is not UTF-8") from error


def parse_json_id(text: str) -> str:
    """Return the entity id that a JSON string or integer spells, any character by an escape; ValueError otherwise."""
    try:
        return entity_id_of(_ID.decode(text.encode()))
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueError(
            f"{text[:80]!a} is no product id in JSON ({error}); wanted is a string in double quotes, like "
            r'"a\u0000b", or an integer'
        ) from error


def parse_time(text: str, now_s: float) -> int:
    """Return the milliseconds since the epoch of an RFC 3339 time, or of so long before ``now_s``: 90s, 75m, 2h, 3d.

    ValueError for anything else.
    """
    duration = _DURATION.fullmatch(text)
    if duration is not None:
        return max(0, int((now_s - int(duration[1]) * _SECONDS[duration[2]]) * 1_000))
    try:
        # Up, so that what is a part of a millisecond older is not meant.
        return -(-parse_rfc3339(text) // 1_000)
    except ValueError as error:
        raise ValueError(f"{error}; or a duration before now: 90s, 75m, 2h, 3d") from error


def parameter(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The type of a click parameter: what ``parse`` makes of its text, and a usage error where it raises ValueError."""

    def read(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return read


ENTITY_ID: Final = parameter(parse_entity_id)
JSON_ID: Final = parameter(parse_json_id)
RECORD_ID: Final = parameter(RecordId.parse)
RANGE: Final = parameter(Range.parse)
TIME: Final = parameter(lambda text: parse_time(text, time.time()))
