"""The key of a record of Debezium's: which id it has, if any, in whichever of Connect's forms."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from lastword.formats.debezium.source import refuse_encoded_id
from lastword.formats.rows import IdColumns

STRUCT: Final = "Struct{"
"""How a key begins of which StringConverter was to write several fields: it says where they are, not where they end."""

ROUTED: Final = "__dbz__"
"""What the names of the fields begin with that Debezium's router of tables adds to a key."""

DebeziumKey = dict[str, msgspec.Raw] | str | int | None

_FIELD: Final = re.compile(r"[{,](\w+)=")
_JSON: Final = ("{", "[", '"')
_KEY: Final[msgspec.json.Decoder[dict[str, msgspec.Raw] | str | int]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | str | int
)


def key_of(key: bytes | None, ids: IdColumns) -> DebeziumKey:
    """What the key says: a struct, with or without its schema, or a value alone; None where it says nothing.

    ValueError where it has only a part of what makes the table's key, or an id that cannot be told.
    """
    found = _read(key)
    if isinstance(found, dict) and found.keys() == {"schema", "payload"}:
        refuse_encoded_id(bytes(found["schema"]), ids.names)
        found = _read(bytes(found["payload"]))
    if isinstance(found, dict):
        ids.refuse_part_of(name for name in found if not name.startswith(ROUTED))
    elif isinstance(found, str) and found.startswith(STRUCT):
        ids.refuse_part_of(_FIELD.findall(found))
        return None
    return found


def _read(key: bytes | None) -> DebeziumKey:
    try:
        return None if key is None else _KEY.decode(key)
    except (msgspec.ValidationError, UnicodeDecodeError):  # JSON of another kind
        return None
    except msgspec.DecodeError:
        return _text(key or b"")


def _text(key: bytes) -> str | None:
    """A key that is no JSON, as StringConverter writes it."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    return text if text and not text.startswith(_JSON) else None


def columns_of(key: DebeziumKey) -> Iterable[str]:
    """The columns that make the record's key."""
    return key.keys() if isinstance(key, dict) else ()


def id_in_key(key: DebeziumKey, ids: IdColumns) -> str | int | None:
    """The entity id in a record's key, where the key has all of it. A value alone may be that of another column."""
    if isinstance(key, dict):
        return ids.in_row(key)
    return key if len(ids.names) == 1 else None


def has_id(key: DebeziumKey, entity_id: str | int, ids: IdColumns) -> bool:
    """Whether the record's key has this id."""
    found = id_in_key(key, ids)
    return found is not None and (isinstance(key, dict) or str(found) == str(entity_id))
