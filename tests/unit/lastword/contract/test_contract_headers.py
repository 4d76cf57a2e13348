"""Golden cases: the versions of records with a null value, and of replayed ones, which come from their headers."""

from collections.abc import Sequence

import pytest

from lastword.contract.record import VERSION_HEADER, InvalidUpdateError, Rules, Update, decode
from lastword.contract.version import Version

NOW_S = 1_763_800_000.0  # 2025-11-22T08:26:40Z
NOW_US = 1_763_800_000_000_000
DAY_S = 86_400
OFFSET = 7
DEFAULT = Rules()
FROM_RECORD = Rules(tombstone_time_from_record=True)

Headers = Sequence[tuple[str, bytes | None]]


def _decode(
    value: bytes | None, *, headers: Headers = (), rules: Rules = DEFAULT, timestamp_ms: int | None = None
) -> Update:
    (update,) = decode(
        key=b"42",
        value=value,
        headers=headers,
        offset=OFFSET,
        timestamp_ms=timestamp_ms,
        rules=rules,
        now=lambda: NOW_S,
    )
    return update


def _value(updated_at: str, rest: str = "") -> bytes:
    return f'{{"updated_at": {updated_at}, "data": 1{rest}}}'.encode()


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ([("updated_at", b"1763800000000")], Version(NOW_US, OFFSET)),
        ([("updated_at", b"2025-11-22T09:26:40.0001239+01:00")], Version(NOW_US + 123, OFFSET)),
        ([("updated_at", b"1763800000000"), ("sequence", b"42")], Version(NOW_US, 42)),
        ([("updated_at", b"1763800000000"), ("sequence", b"9007199254740991")], Version(NOW_US, 2**53 - 1)),
        ([("updated_at", b"1763800000000"), ("sequence", None)], Version(NOW_US, OFFSET)),
        # Of headers of one name the last counts.
        ([("updated_at", b"soon"), ("updated_at", b"1763800000000")], Version(NOW_US, OFFSET)),
        ([("updated_at", b"1763800000000"), ("trace", b"\xff"), ("updated_at", b"1763800000001")],
         Version(NOW_US + 1_000, OFFSET)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rules", [DEFAULT, FROM_RECORD])
def test_a_null_value_takes_its_version_from_headers(headers: Headers, version: Version, rules: Rules) -> None:
    assert _decode(None, headers=headers, rules=rules, timestamp_ms=1700000000000).version == version


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "no header updated_at"),
        ([("updated_at", None)], "no header updated_at"),
        ([("Updated_At", b"1763800000000")], "no header updated_at"),
        ([("updated_at", b"")], "is not an RFC 3339 time"),
        ([("updated_at", b"\xff\xfe")], "is not an RFC 3339 time"),
        ([("updated_at", b'"2025-11-22T08:26:40Z"')], "is not an RFC 3339 time"),
        ([("updated_at", b"1763800000000.0")], "is not an RFC 3339 time"),
        ([("updated_at", b"-1763800000000")], "is not an RFC 3339 time"),
        ([("updated_at", b" 1763800000000")], "is not an RFC 3339 time"),
        ([("updated_at", (1763800000000).to_bytes(8, "big"))], "is not an RFC 3339 time"),
        ([("updated_at", b"2025-11-22T08:26:40")], "has no offset"),
        ([("updated_at", b"1763800000")], "seconds? milliseconds are wanted"),
        ([("updated_at", b"1763800000000123")], "microseconds? milliseconds are wanted"),
        ([("updated_at", b"9" * 10**6)], "is not an RFC 3339 time"),
        ([("updated_at", b"2027-01-01T00:00:00Z")], "86400 s are allowed"),
        ([("updated_at", b"1763800000000"), ("sequence", b"")], "sequence '' is not an integer"),
        ([("updated_at", b"1763800000000"), ("sequence", b"-1")], "sequence '-1' is not an integer"),
        ([("updated_at", b"1763800000000"), ("sequence", b"\xd9\xa1")], "is not an integer"),
        ([("updated_at", b"1763800000000"), ("sequence", b"9007199254740992")], "sequence 9007199254740992 is out"),
        ([("updated_at", b"1763800000000"), ("sequence", b"9" * 5000)], "is not an integer of 0 to 2^53-1"),
        ([("updated_at", b"1763800000000"), ("updated_at", b"soon")], "is not an RFC 3339 time"),
    ],
)
def test_a_null_value_without_usable_headers(headers: Headers, reason: str) -> None:
    with pytest.raises(InvalidUpdateError) as invalid:
        _decode(None, headers=headers, timestamp_ms=1763800000000)
    assert reason in str(invalid.value)


def test_a_null_value_takes_the_records_time_where_a_setting_says_so() -> None:
    tombstone = _decode(None, headers=[("sequence", b"3")], rules=FROM_RECORD, timestamp_ms=1763800000000)
    assert tombstone.version == Version(NOW_US + 999, 3)


@pytest.mark.parametrize(
    ("timestamp_ms", "reason"),
    [
        (None, "neither a header updated_at nor a timestamp"),
        (-1, "the record's timestamp -1 is before 1970"),
        (1763800000, "seconds? milliseconds are wanted"),
        (2**63 - 1, "is too large"),
        (9007199254740, "is too large"),
        (1763800000000 + DAY_S * 1000, "86400 s are allowed"),
    ],
)
def test_a_null_value_with_an_unusable_record_time(timestamp_ms: int | None, reason: str) -> None:
    with pytest.raises(InvalidUpdateError) as invalid:
        _decode(None, rules=FROM_RECORD, timestamp_ms=timestamp_ms)
    assert reason in str(invalid.value)


def test_an_unusable_header_is_not_replaced_by_the_records_time() -> None:
    with pytest.raises(InvalidUpdateError, match="is not an RFC 3339 time"):
        _decode(None, headers=[("updated_at", b"soon")], rules=FROM_RECORD, timestamp_ms=1763800000000)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b'{"data": 1}',
        b'{"deleted": true}',
        _value("1700000000000", ', "sequence": 9'),
        _value('"yesterday"', ', "sequence": -9'),
    ],
)
@pytest.mark.parametrize("earlier", [[], [(VERSION_HEADER, b"nonsense")], [("updated_at", b"soon")]])
def test_a_replayed_record_keeps_its_version(value: bytes | None, earlier: list[tuple[str, bytes | None]]) -> None:
    replayed = _decode(value, headers=[*earlier, (VERSION_HEADER, b"1763800000000123-42")])
    assert replayed.version == Version(1763800000000123, 42)


@pytest.mark.parametrize("text", [None, b"", b"1-", b"01-2", b"-1-2", b"\xff", b"1763800000000123", b"9" * 10**6])
@pytest.mark.parametrize("value", [None, _value("1763800000000")])
def test_an_unreadable_version_of_a_replayed_record(value: bytes | None, text: bytes | None) -> None:
    with pytest.raises(InvalidUpdateError, match=r"header lastword-version: .* is not a version"):
        _decode(value, headers=[("updated_at", b"1763800000000"), (VERSION_HEADER, text)])


def test_the_future_limit_holds_for_replayed_records_too() -> None:
    with pytest.raises(InvalidUpdateError, match="86400 s are allowed"):
        _decode(_value("1763800000000"), headers=[(VERSION_HEADER, b"1763886400000001-0")])
