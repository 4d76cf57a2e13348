"""Golden cases: data, deletions, notices, and values that are none of it."""

import pytest

from lastword.contract.record import InvalidUpdateError, Kind, Rules, Update, decode
from lastword.contract.version import Version

VERSION = Version(1_763_800_000_000_000, 5)
HEADERS = [("updated_at", b"1763800000000"), ("sequence", b"5")]
DEFAULT = Rules()
REST = '"updated_at": 1763800000000, "sequence": 5, "data": {"stock": 1}'


def _decode(value: bytes | None, key: bytes | None = b"42", rules: Rules = DEFAULT) -> Update:
    (update,) = decode(
        key=key, value=value, headers=HEADERS, offset=7, timestamp_ms=None, rules=rules, now=lambda: 1_763_800_000.0
    )
    return update


def _reason(value: bytes | None, key: bytes | None = b"42", rules: Rules = DEFAULT) -> str:
    with pytest.raises(InvalidUpdateError) as invalid:
        _decode(value, key, rules)
    reason = str(invalid.value)
    assert reason.isprintable()
    assert len(reason) < 600
    return reason


def _named(entity_id: str) -> bytes:
    return f'{{"product_id": {entity_id}, {REST}}}'.encode()


def _with_data(data: str) -> bytes:
    return f'{{"updated_at": 1763800000000, "data": {data}, "sequence": 5}}'.encode()


NAMELESS = f"{{{REST}}}".encode()


def test_an_update() -> None:
    update = _decode(_named('"42"'))
    assert update == Update(entity_id="42", version=VERSION, data=b'{"stock": 1}', deleted=False)
    assert update.kind is Kind.UPDATE


def test_the_clock_of_the_machine_is_asked_by_default() -> None:
    def at_the_machines_time(value: bytes) -> list[Update]:
        return decode(key=b"42", value=value, headers=[], offset=7, timestamp_ms=None, rules=DEFAULT)

    assert at_the_machines_time(NAMELESS)[0].version == VERSION
    with pytest.raises(InvalidUpdateError, match="ahead of this machine's clock"):
        at_the_machines_time(b'{"updated_at": "2254-01-01T00:00:00Z", "data": 1}')


@pytest.mark.parametrize(
    "data",
    [
        "null",
        "true",
        "0",
        "-0.0",
        "1e999",
        "123456789012345678901234567890.10",
        '""',
        '"null"',
        r'"\u00e9\ud83d\ude00\/"',
        '"é😀\u2028"',
        "{}",
        "[]",
        '{"b" :1,\n\t"a": [1 ,2 ] , "b": 2 }',
        "[" * 500 + "]" * 500,
    ],
)
def test_data_is_kept_byte_for_byte(data: str) -> None:
    for spaced in (data, f" \n{data}\t\r "):
        update = _decode(_with_data(spaced))
        assert update.data == data.encode()
        assert update.kind is Kind.UPDATE


@pytest.mark.parametrize("rest", ["", ', "deleted": false', ', "deleted": null'])
def test_a_notice_is_valid_only_where_a_loader_is_configured(rest: str) -> None:
    value = f'{{"updated_at": 1763800000000, "sequence": 5{rest}}}'.encode()
    notice = _decode(value, rules=Rules(notices=True))
    assert notice == Update(entity_id="42", version=VERSION, data=None, deleted=False, numbered=True)
    assert notice.kind is Kind.NOTICE
    assert "valid only where a loader is configured" in _reason(value)


def test_a_notice_without_a_sequence_has_the_offset_and_says_that_it_is_not_its_own() -> None:
    notice = _decode(b'{"updated_at": 1763800000000}', rules=Rules(notices=True))
    assert (notice.version.sequence, notice.numbered) == (7, False)
    assert not _decode(_with_data("1"), rules=Rules(notices=True)).numbered


@pytest.mark.parametrize(
    "value",
    [
        None,
        b'{"updated_at": 1763800000000, "sequence": 5, "deleted": true}',
        b'{"updated_at": 1763800000000, "sequence": 5, "deleted": true, "data": {"stock": 1}}',
        b'{"updated_at": 1763800000000, "sequence": 5, "deleted": false, "deleted": true, "data": null}',
    ],
)
@pytest.mark.parametrize("rules", [Rules(), Rules(notices=True)])
def test_tombstones(value: bytes | None, rules: Rules) -> None:
    tombstone = _decode(value, rules=rules)
    assert tombstone == Update(entity_id="42", version=VERSION, data=None, deleted=True)
    assert tombstone.kind is Kind.TOMBSTONE


@pytest.mark.parametrize(
    ("deleted", "got"),
    [("0", "int"), ("1", "int"), ('"true"', "str"), ('"false"', "str"), ("[]", "array"), ("{}", "object")],
)
def test_deleted_is_a_boolean(deleted: str, got: str) -> None:
    assert f"got `{got}` - at `$.deleted`" in _reason(_named(f'42, "deleted": {deleted}'))


def test_unknown_fields_are_ignored() -> None:
    unknown = '{"deleted": 1, "updated_at": 2.5, "product_id": []}'
    assert _decode(_named(f'42, "before": {unknown}, "": 1, "Deleted": true, "op": "d"')).kind is Kind.UPDATE


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "the value is empty (0 bytes)"),
        (b" ", "is not JSON"),
        (b" null", "got `null`; a tombstone has no value at all, rather than JSON's null"),
        (b"[]", "Expected `object`, got `array`"),
        (b"42", "got `int`"),
        (b'"text"', "got `str`"),
        (b"text", "is not JSON"),
        (b"{" + NAMELESS, "is not JSON"),
        (NAMELESS + NAMELESS, "is not JSON (JSON is malformed: trailing characters"),
        (NAMELESS[:-1], "is not JSON (Input data was truncated)"),
        (NAMELESS[:-1] + b",}", "is not JSON"),
        (NAMELESS.replace(b'"', b"'"), "is not JSON"),
        (NAMELESS + b"\x00", "is not JSON"),
        (b"\xef\xbb\xbf" + NAMELESS, "begins with a byte order mark"),
        (NAMELESS.decode().encode("utf-16"), "is not UTF-8 (invalid start byte at byte 0)"),
        (NAMELESS.decode().encode("utf-16-le"), "is not JSON"),
        (b"\x00\x00\x00\x00\x2a" + NAMELESS, "is not JSON"),
        (b"\xff" * 10**6, "is not UTF-8"),
        (b"x" * 10**6, "is not JSON"),
        (_with_data("NaN"), "is not JSON"),
        (_with_data("Infinity"), "is not JSON"),
        (_with_data("-Infinity"), "is not JSON"),
        (_with_data("01"), "is not JSON"),
        (_with_data("+1"), "is not JSON"),
        (_with_data("1 // one"), "is not JSON"),
        (_with_data('"a\nb"'), "is not JSON"),
        (_with_data(r'"\x41"'), "is not JSON"),
        (_with_data(r'"\ud800"'), r"half of a surrogate pair, as \ud800 in it, is no character"),
        (_with_data(r'"\ud83d\ud83d\ude00"'), r"half of a surrogate pair, as \ud83d in it"),
        (_with_data(r'{"\udc00": 1}'), r"half of a surrogate pair, as \udc00 in it"),
        (_with_data(r'"\ude00\ud83d"'), "half of a surrogate pair"),
        (_with_data("1").replace(b"1,", b'"\xff",'), "is not UTF-8 (invalid start byte at byte "),
        (_with_data("1").replace(b"1,", b'"\xed\xa0\x80",'), "is not UTF-8"),
        (_with_data("1").replace(b"1,", b'"\xc0\x80",'), "is not UTF-8"),
        (NAMELESS[:-1] + b', "unknown": "\xff"}', "is not UTF-8"),
        (NAMELESS[:-1] + rb', "unknown": "\udfff"}', "half of a surrogate pair"),
        (_with_data("[" * 10**5 + "]" * 10**5), "too deeply nested"),
        (_with_data('{"a":' * 10**5 + "1" + "}" * 10**5), "too deeply nested"),
        (NAMELESS[:-1] + b', "unknown": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", "too deeply nested"),
    ],
)
def test_values_that_are_no_update(value: bytes, reason: str) -> None:
    assert reason in _reason(value)
