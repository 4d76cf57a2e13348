"""Debezium's events as its event flattening (ExtractNewRecordState) leaves them: rows, with a few fields added.

Source: https://debezium.io/documentation/reference/stable/transformations/event-flattening.html
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Final

import msgspec

from lastword.contract.change import Change
from lastword.contract.fields import read_json
from lastword.contract.record import Rules
from lastword.formats.debezium.before import deletion
from lastword.formats.debezium.events import is_without_row
from lastword.formats.debezium.key import columns_of, id_in_key, key_of, refuse_another_id
from lastword.formats.debezium.placeholders import unsent
from lastword.formats.debezium.source import Source, position_of, refuse_encoded_id, time_of
from lastword.formats.record import Decoder, Record
from lastword.formats.rows import IdColumns, deletion_of, placed, state_of

OF_SOURCE: Final = frozenset(
    re.findall(
        r"\w+",
        """
        version connector name ts_ms ts_us ts_ns snapshot db sequence schema table collection txId lsn xmin origin
        origin_lsn server_id gtid file pos row thread query change_lsn commit_lsn event_serial_no scn commit_scn
        start_scn lcr_position rs_id ssn redo_thread redo_sql user_name row_id ord h tord stxnid lsid txnNumber wallTime
        keyspace shard vgtid commit_ts begin_lsn commit_ts_ms start_ts_ms txSeq scn_idx
        """,
    )
)
"""The fields of ``source``, of all connectors; the flattening may add each, with ``source_`` before it or without."""

OF_EVENT: Final = frozenset(
    {
        *("op", "deleted", "ts_ms", "ts_us", "ts_ns", "changed", "unchanged"),
        *("transaction_id", "transaction_total_order", "transaction_data_collection_order"),
        *("id", "total_order", "data_collection_order"),
    }
)

DELETED: Final = "__deleted"
"""What ``rewrite`` adds, whatever ``add.fields.prefix`` is."""

_ANY: Final[msgspec.json.Decoder[object]] = msgspec.json.Decoder()


def debezium_unwrapped(rules: Rules) -> Decoder:
    """The decoder. PostgreSQL's events need ``add.fields=op,source.lsn,source.sequence,source.ts_ms``."""
    known = OF_EVENT | OF_SOURCE | {f"source_{name}" for name in OF_SOURCE}
    added = frozenset({DELETED, *(f"{rules.added_prefix}{name}" for name in known)})
    return partial(_changes, rules, IdColumns.of(rules), added)


def _changes(rules: Rules, ids: IdColumns, known: frozenset[str], record: Record) -> list[Change]:
    row = None if record.value is None else read_json(record.value, _ROW_OR_NULL, "the value")
    if row is not None and row.keys() == {"schema", "payload"}:
        refuse_encoded_id(bytes(row["schema"]), ids.names, bytes(row["payload"]))
        row = read_json(bytes(row["payload"]), _ROW_OR_NULL, "the payload")
    if row is None:
        return [_deletion(rules, ids, record)]
    if is_without_row(row):
        return []  # what is no change of a row the transform leaves as it is
    key = key_of(record.key, ids)
    # A column may have such a name too, where nothing has been added under it: but not beside the same field.
    added = {name: row[name] for name in row.keys() & known if name not in ids.names}
    # Without the fields the headers tell it, as they do of null values: one topic has one kind of position.
    headers, fields = _headers(record), {name: bytes(value) for name, value in added.items()}
    source = _source(rules.added_prefix, headers, fields)
    told = headers | fields
    op = _plain(told.get(f"{rules.added_prefix}op", b"null"))
    deletes = op == "d" or any(
        _plain(told.get(name, b"null")) in ("true", True) for name in {DELETED, f"{rules.added_prefix}deleted"}
    )
    position = position_of(source, record.offset, is_read=op == "r" or source.is_read)
    time = time_of(source, record.timestamp_ms)
    own = {name: value for name, value in row.items() if name not in added}
    if deletes:
        gone = deletion(own, source, ids, key, notices=rules.notices, updated_at=time, position=position)
        return [placed(gone, ids, columns_of(key, gone.product_id, ids), rules)]
    data = msgspec.Raw(msgspec.json.encode(own))
    state = state_of(own, data, rules, unsent(own, bytes(data), rules.placeholder))
    entity_id = ids.needed(own)
    refuse_another_id(key, own, ids)
    change = Change(product_id=entity_id, updated_at=time, position=position, data=state)
    return [placed(change, ids, columns_of(key, entity_id, ids), rules)]


_ROW_OR_NULL: Final[msgspec.json.Decoder[dict[str, msgspec.Raw] | None]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | None
)


def _deletion(rules: Rules, ids: IdColumns, record: Record) -> Change:
    """What a null value stands for; with ``add.headers`` its headers have its place in the log."""
    source = _source(rules.added_prefix, _headers(record))
    if source.connector is None and not source.names_the_log:
        raise ValueError(
            "the value is null, a deletion of which nothing tells where in the database's log it is: set "
            "delete.tombstone.handling.mode=rewrite, or "
            "add.headers=op,source.connector,source.lsn,source.sequence,source.ts_ms"
        )
    key = key_of(record.key, ids)
    entity_id = id_in_key(key, ids)
    if entity_id is None:
        raise ValueError(f"the value is null, and the key has no {ids}")
    position = position_of(source, record.offset, is_read=False)
    return deletion_of(entity_id, updated_at=time_of(source, record.timestamp_ms), position=position)


def _headers(record: Record) -> dict[str, bytes]:
    return {name: b"null" if value is None else value for name, value in record.headers}


def _source(prefix: str, *origins: Mapping[str, bytes]) -> Source:
    """What the flattening was told to add, as headers and as fields of the row: of both the last one counts."""
    told: dict[str, object] = {}
    for fields in origins:
        for name in Source.__struct_fields__:
            # Without "source." a time is the connector's own.
            forms = [f"{prefix}{name}", f"{prefix}source_{name}"][name.startswith("ts_") :]
            told |= {name: _plain(fields[form]) for form in forms if form in fields}  # noqa: B035 - the last of them counts
    return msgspec.convert(told, Source, strict=False)


def _plain(text: bytes) -> object:
    """What a field, or a header of any of Connect's converters, holds: JSON, with its schema or without, or text."""
    try:
        value = _ANY.decode(text)
    except msgspec.DecodeError:
        return text.decode(errors="replace")
    return value["payload"] if isinstance(value, dict) and value.keys() == {"schema", "payload"} else value
