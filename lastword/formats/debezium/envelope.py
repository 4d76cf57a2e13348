"""Debezium's events in the envelope of CloudEvents, as its CloudEventsConverter writes them: without a content-type.

Source: https://debezium.io/documentation/reference/stable/integrations/cloudevents.html
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from lastword.contract.fields import read_json
from lastword.formats.debezium.source import refuse_encoded_id
from lastword.formats.rows import ROW

PREFIX: Final = "iodebezium"
VERSION: Final = "specversion"
"""An attribute of every CloudEvent."""

OPERATION: Final = f"{PREFIX}op"

_TEXT: Final = ("connector", "snapshot", "lsn", "sequence")
_TIMES: Final = {"tsms": "ts_ms", "tsus": "ts_us", "tsns": "ts_ns"}
_NULL: Final = msgspec.Raw(b"null")
_ROW_OR_NULL: Final[msgspec.json.Decoder[dict[str, msgspec.Raw] | None]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | None
)
_ANY: Final[msgspec.json.Decoder[str | int | bool | None]] = msgspec.json.Decoder(str | int | bool | None)


def without_envelope(value: bytes, ids: Iterable[str]) -> bytes:
    """The event as it is without that envelope; ValueError where the envelope does not tell what was done."""
    if VERSION.encode() not in value:
        return value
    told = read_json(value, _ROW_OR_NULL, "the value")
    if told is None or VERSION not in told:
        return value
    if OPERATION not in told:
        raise ValueError(
            f"an event in the envelope of CloudEvents without {OPERATION}, which tells what was done: set "
            "value.converter.extension.attributes.enable=true at the connector, which is its default"
        )
    data = read_json(bytes(told.get("data", _NULL)), ROW, "data")
    if data.keys() == {"schema", "payload"}:
        refuse_encoded_id(bytes(data["schema"]), ids, bytes(data["payload"]))
        data = read_json(bytes(data["payload"]), ROW, "the payload of data")
    source = {name: told.get(f"{PREFIX}{name}", _NULL) for name in _TEXT}
    times = {name: _number(told.get(f"{PREFIX}{short}", _NULL), short) for short, name in _TIMES.items()}
    rows = {name: data.get(name, _NULL) for name in ("before", "after")}
    return msgspec.json.encode({"op": told[OPERATION], "source": source | times, **rows})


def _number(raw: msgspec.Raw, name: str) -> int | None:
    """A number that is written as text, as all of the attributes are."""
    value = read_json(bytes(raw), _ANY, f"{PREFIX}{name}")
    try:
        return None if value is None else int(value)
    except ValueError as error:
        raise ValueError(f"{PREFIX}{name} is {value!r:.80}; a number is wanted") from error
