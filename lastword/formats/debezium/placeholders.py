"""What Debezium writes in the place of a large value that did not change and is not in the database's log.

One text, ``unavailable.value.placeholder``, in the type of its column. Source: UnchangedToastedPlaceholder.java and
PostgresValueConverter.java of https://github.com/debezium/debezium
"""

import base64
import hashlib
import re
import uuid
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from lastword.formats.rows import Row

DEFAULT: Final = "__debezium_unavailable_value"
_HEX: Final = "hex:"
_PLAIN: Final = re.compile(r"[\w=-]+", re.ASCII)
_ANY: Final[msgspec.json.Decoder[object]] = msgspec.json.Decoder()


class Placeholder:
    """All the forms of one placeholder."""

    def __init__(self, text: str) -> None:
        raw = bytes.fromhex(text.removeprefix(_HEX)) if text.startswith(_HEX) else text.encode()
        text = raw.decode(errors="replace")
        digest = bytearray(hashlib.md5(raw, usedforsecurity=False).digest())  # as Java's UUID.nameUUIDFromBytes
        base = base64.b64encode(raw).decode()
        safe = base64.urlsafe_b64encode(raw).decode()
        self._texts = {text, base, safe, safe.rstrip("="), raw.hex(), raw.hex().upper(), str(_named(digest))}
        # JSON has one form of such texts alone; of others every value is looked at.
        plain = all(_PLAIN.fullmatch(text_form) for text_form in self._texts)
        self._numbers = [[byte if byte < 128 else byte - 256 for byte in raw], list(raw)]  # noqa: PLR2004 - Java's are signed
        numbers = (r"\s*,\s*".join(map(str, values)) for values in self._numbers)
        self._anywhere = re.compile("|".join([*self._texts, *numbers]).encode() if plain else b"")
        self._texts.add(msgspec.json.encode({text: text}).decode())
        self._map = {text: text}

    def columns(self, row: Row, text: bytes) -> Iterator[str]:
        """The columns whose values stand for something else; ``text`` is the row's JSON."""
        if not self._anywhere.search(text):
            return
        for name, value in row.items():
            if self._anywhere.search(bytes(value)) and self._is(_ANY.decode(value)):
                yield name

    def _is(self, value: object) -> bool:
        if isinstance(value, list):
            return value in self._numbers or any(self._is(element) for element in value)
        if isinstance(value, dict):
            return value == self._map or any(self._is(element) for element in value.values())
        return isinstance(value, str) and value in self._texts


def _named(digest: bytearray) -> uuid.UUID:
    digest[6] = digest[6] & 0x0F | 0x30
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(digest))


_of: Final = lru_cache(maxsize=8)(Placeholder)


def unsent(row: Row, text: bytes, placeholder: str) -> list[str]:
    """The columns of a row, whose JSON ``text`` is, in which this placeholder stands, or the default one.

    Also where another is set: a connector may have kept the default, which is nobody's value by chance.
    """
    return list(
        dict.fromkeys(
            name for standing in dict.fromkeys((placeholder, DEFAULT)) for name in _of(standing).columns(row, text)
        )
    )
