"""The key of a record of Debezium's: which id it has, if any, in whichever of Connect's forms."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from lastword.contract.fields import shown
from lastword.formats.debezium.source import ALONE, refuse_encoded_id
from lastword.formats.rows import IdColumns, Row

STRUCT: Final = "Struct{"
"""How a key begins of which StringConverter was to write several fields: it says where they are, not where they end."""

ROUTED: Final = "__dbz__"
"""What the names of the fields begin with that Debezium's router of tables adds to a key."""

DebeziumKey = dict[str, msgspec.Raw] | str | int | None
"""The columns, a value alone, or no key; one that is there and says nothing has no columns."""

_UNTOLD: Final = msgspec.Raw(b"null")
_FIELD: Final = re.compile(r"[{,](\w+)=")
_JSON: Final = ("{", "[", '"')
_KEY: Final[msgspec.json.Decoder[dict[str, msgspec.Raw] | str | int]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | str | int
)


def key_of(key: bytes | None, ids: IdColumns) -> DebeziumKey:
    """What the key says: a struct, with or without its schema, or a value alone; None where there is none.

    ValueError where it has only a part of what makes the table's key, or an id that cannot be told.
    """
    decoded = _read(key)
    if isinstance(decoded, dict) and _is_enveloped(decoded):
        payload = bytes(decoded["payload"])
        refuse_encoded_id(bytes(decoded.get("schema", b"")), ids.names, payload)
        decoded = _read(payload)
    if isinstance(decoded, dict):
        _refuse_part(decoded, ids)
    elif isinstance(decoded, str) and decoded.startswith(STRUCT):
        named = dict.fromkeys(_FIELD.findall(decoded), _UNTOLD)
        ids.refuse_part_of(named)
        return named
    return decoded


def _is_enveloped(key: Row) -> bool:
    """Whether the key is in ``payload``: beside its schema, or, as TiCDC has it without one, as a struct."""
    if "payload" not in key:
        return False
    return key.keys() == {"schema", "payload"} or (len(key) == 1 and bytes(key["payload"])[:1] == b"{")


def _refuse_part(key: Row, ids: IdColumns) -> None:
    try:
        ids.refuse_part_of(name for name in key if not name.startswith(ROUTED))
    except ValueError as error:
        raise ValueError(
            f"{error}. If a router of tables adds one of them to the key: key.field.name={ROUTED}table, or "
            "key.enforce.uniqueness=false"
        ) from error


def _read(key: bytes | None) -> DebeziumKey:
    if key in (None, b"null"):
        return None
    try:
        return _KEY.decode(key or b"")
    except (msgspec.ValidationError, UnicodeDecodeError):  # JSON of another kind
        return {}
    except msgspec.DecodeError:
        return _text(key or b"")


def _text(key: bytes) -> DebeziumKey:
    """A key that is no JSON, as StringConverter writes it."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return {}
    return text if text and not text.startswith(_JSON) else {}


def columns_of(key: DebeziumKey, entity_id: str | int, ids: IdColumns) -> Iterable[str]:
    """The columns that make the record's key; of a value alone that is not the id nobody knows which."""
    if isinstance(key, dict):
        return key.keys()
    return () if key is None or has_id(key, entity_id, ids) else (ALONE,)


def id_in_key(key: DebeziumKey, ids: IdColumns) -> str | int | None:
    """The entity id in a record's key, where the key has all of it. A value alone may be that of another column."""
    if isinstance(key, dict):
        return ids.in_row(key)
    return key if len(ids.names) == 1 else None


def refuse_another_id(key: DebeziumKey, row: Row, ids: IdColumns) -> None:
    """ValueError where the key names another id than the row: what changes the rows' columns leaves the keys alone."""
    if not isinstance(key, dict) or all(bytes(key.get(name, b"")) == bytes(row[name]) for name in ids.names):
        return  # nearly always: and nothing is decoded for it
    in_key, in_row = id_in_key(key, ids), ids.in_row(row)
    if in_key is not None and str(in_key) != str(in_row):
        raise ValueError(
            f"the key names product {shown(str(in_key))}, and the row {shown(str(in_row))}: they must agree. Do not "
            "truncate, mask or convert the column of LASTWORD_ID_FIELD in rows alone (column.truncate…, column.mask…, "
            "Cast$Value and the like)"
        )


def has_id(key: DebeziumKey, entity_id: str | int, ids: IdColumns) -> bool:
    """Whether the record's key has this id."""
    in_key = id_in_key(key, ids)
    return in_key is not None and (isinstance(key, dict) or str(in_key) == str(entity_id))
