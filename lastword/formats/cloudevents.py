"""CloudEvents 1.0 over Kafka: binary, the attributes in headers, or structured, all of it in the value.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md and
https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/sequence.md
"""

import base64
import binascii
import re
from functools import partial
from typing import Final

import msgspec

from lastword.contract.change import Change
from lastword.contract.fields import read_json, sequence_of_header, shown
from lastword.contract.record import Rules, id_in_key
from lastword.formats.record import Decoder, Record

STRUCTURED: Final = "application/cloudevents+json"
OTHER: Final = "application/cloudevents"
OF_DEBEZIUM: Final = "what Debezium's CloudEventsConverter writes is read with LASTWORD_FORMAT=debezium"
DELETED: Final = "deleted"
"""The last word of a deletion's type, but for a version: ``com.example.product.deleted.v1``, ``ProductDeleted``."""

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_VERSION: Final = re.compile(r"[\W_]*v?\d+([\W_]+\d+)*$", re.IGNORECASE)


class _Event(msgspec.Struct):
    """``subject`` is the entity id. ``data`` is empty where the event has none."""

    specversion: str | None = None
    type: str = ""
    subject: str | None = None
    time: str | None = None
    sequence: str | int | None = None
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None
    iodebeziumop: str | None = None


_EVENT: Final = msgspec.json.Decoder(_Event)
_PLAIN: Final[msgspec.json.Decoder[str | int | None]] = msgspec.json.Decoder(str | int | None)
_CONNECTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_QUOTED: Final[msgspec.json.Decoder[str | dict[str, msgspec.Raw]]] = msgspec.json.Decoder(str | dict[str, msgspec.Raw])
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)


def cloudevents(rules: Rules) -> Decoder:
    """The decoder, of both modes."""
    return partial(_changes, rules)


def _changes(rules: Rules, record: Record) -> list[Change]:
    headers = _headers(record)
    content_type = headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    is_other = media_type.startswith(OTHER) and media_type != STRUCTURED
    if media_type == STRUCTURED or not (is_other or "ce_specversion" in headers or not _has_an_event(record.value)):
        if record.value is None:
            raise ValueError("the value is null, which in structured mode is no event")
        event, deleted = _structured(record.value), False
    elif "ce_specversion" in headers:
        # The binding has no other way to say that there is no data; compaction knows a deletion by it.
        event, deleted = _binary(record, headers, content_type), record.value is None and not rules.notices
    elif is_other:
        raise ValueError(f"the event's content-type is {shown(media_type)}; {STRUCTURED} is read, one event a record")
    else:
        raise ValueError(
            f"no event: there is neither a header ce_specversion nor the content-type {STRUCTURED}; {OF_DEBEZIUM}"
        )
    _refuse_another(event)
    entity_id = event.subject or id_in_key(record.key, rules.key_form)
    if not entity_id:
        raise ValueError("the event has no subject, which is the product id, and the record no key")
    if event.time is None:
        raise ValueError("the event has no time")
    # Padded with zeros it can be compared as text, as the extension wants it.
    sequence = None if event.sequence is None else sequence_of_header(_unpadded(str(event.sequence)).encode())
    if deleted or _is_deletion(event.type):
        return [Change(product_id=entity_id, updated_at=event.time, sequence=sequence, deleted=True)]
    data = event.data or msgspec.UNSET
    if event.data:
        read_json(bytes(event.data), _RAW, "the event's data")
    return [Change(product_id=entity_id, updated_at=event.time, sequence=sequence, data=data)]


def _is_deletion(kind: str) -> bool:
    """Whether the type of an event says so; ValueError where ``deleted`` is a word of it, and not the last."""
    if DELETED not in kind.lower():
        return False
    words = [word.lower() for word in _WORD.findall(_VERSION.sub("", kind))]
    if DELETED in words[:-1]:
        raise ValueError(f"the event's type is {shown(kind)}: deleted is to be its last word, but for a version")
    return words[-1:] == [DELETED]


def _headers(record: Record) -> dict[str, str]:
    """The headers as text. A serializer of JSON puts all of them into quotes, as the spec's version tells, or some."""
    ours = {name.lower(): value for name, value in record.headers if name.lower().startswith(("ce_", "content-type"))}
    headers = {name: _text(value) for name, value in ours.items() if value is not None}
    all_are = headers.get("ce_specversion", "").startswith(('"', "{"))
    read = {name: _unquoted(text) if all_are or _is_quoted(text) else text for name, text in headers.items()}
    return {name: text for name, text in read.items() if text is not None}


def _has_an_event(value: bytes | None) -> bool:
    """Whether it is an event all by itself: some serializers leave the content-type out."""
    try:
        return value is not None and b'"specversion"' in value and "specversion" in _CONNECTS.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def _refuse_another(event: _Event) -> None:
    if event.specversion is not None and not event.specversion.startswith("1."):
        raise ValueError(f"the event's specversion is {shown(event.specversion)}; 1.0 is read")
    if event.iodebeziumop is not None or event.type.lower().startswith("io.debezium."):
        raise ValueError(f"an event of Debezium, whose data is no row: {OF_DEBEZIUM}")


def _is_quoted(text: str) -> bool:
    """Whether it is a string of JSON, alone or with its schema: no id is one by chance."""
    if not text.startswith(('"', "{")):
        return False  # most: and no exception for each header of each event
    try:
        value = _QUOTED.decode(text)
    except msgspec.DecodeError:
        return False
    return isinstance(value, str) or value.keys() == {"schema", "payload"}


def _unquoted(text: str) -> str | None:
    """The text or the number that JSON has for it, alone or with its schema; what is no JSON is itself."""
    try:
        if text == "null":
            return None
        if text.startswith("{"):
            value = _PLAIN.decode(bytes(_CONNECTS.decode(text).get("payload", b"null")))
            return None if value is None else str(value)
        return str(_PLAIN.decode(text)) if text.startswith('"') else text
    except msgspec.DecodeError as error:
        raise ValueError(f"a header is not the JSON that it begins as: {shown(text)}") from error


def _unpadded(number: str) -> str:
    return number.lstrip("0") or number[:1]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"a header is not UTF-8: {shown(value)}") from error


def _structured(value: bytes) -> _Event:
    event = read_json(value, _EVENT, "the value")
    if event.data_base64 is None:
        return event
    if bytes(event.data) not in (b"", b"null"):
        raise ValueError("the event has data and data_base64, of which an event may have one")
    try:
        data = base64.b64decode(event.data_base64, validate=True)
    except binascii.Error as error:
        raise ValueError(f"data_base64 is not base64: {error}") from error
    return msgspec.structs.replace(event, data=msgspec.Raw(data))


def _binary(record: Record, headers: dict[str, str], content_type: str) -> _Event:
    media_type = content_type.partition(";")[0].strip().lower()
    if record.value is not None and media_type and not media_type.endswith(("/json", "+json")):
        raise ValueError(f"the event's data is {shown(media_type)}; wanted is JSON")
    return _Event(
        specversion=headers["ce_specversion"],
        type=headers.get("ce_type", ""),
        subject=headers.get("ce_subject"),
        time=headers.get("ce_time"),
        sequence=headers.get("ce_sequence"),
        data=msgspec.Raw(record.value or b""),
    )
