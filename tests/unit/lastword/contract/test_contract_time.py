"""Golden cases: which version a record's ``updated_at`` and ``sequence`` make, or why they make none."""

import pytest

from lastword.contract.record import InvalidUpdateError, Rules, Update, decode
from lastword.contract.version import Version

NOW_S = 1_763_800_000.0  # 2025-11-22T08:26:40Z
NOW_US = 1_763_800_000_000_000
DAY_S = 86_400
OFFSET = 7
DEFAULT = Rules()
ANY_TIME = Rules(future_limit_s=float("inf"))


def _decode(value: bytes, rules: Rules = DEFAULT) -> Update:
    (update,) = decode(
        key=b"42",
        value=value,
        headers=[("updated_at", b"1763800000000")],  # counts beside a null value only
        offset=OFFSET,
        timestamp_ms=1_763_800_000_000,
        rules=rules,
        now=lambda: NOW_S,
    )
    return update


def _value(updated_at: str, rest: str = "") -> bytes:
    return f'{{"updated_at": {updated_at}, "data": 1{rest}}}'.encode()


@pytest.mark.parametrize(
    ("updated_at", "time_us"),
    [
        ('"2025-11-22T08:26:40Z"', NOW_US),
        ('"2025-11-22T09:26:40.000123+01:00"', NOW_US + 123),
        ('"2025-11-22 08:26:40z"', NOW_US),
        (r'"2025-11-22\u005408:26:40Z"', NOW_US),
        ('"2025-11-22T08:26:40.1234567Z"', NOW_US + 123_456),
        ('"2016-12-31T23:59:60Z"', 1_483_228_800_000_000),
        ('"1970-01-01T00:00:00Z"', 0),
        ("1763800000000", NOW_US),
        ("1763800000123", NOW_US + 123_000),
        ("100000000000", 10**14),
    ],
)
def test_updated_at(updated_at: str, time_us: int) -> None:
    assert _decode(_value(updated_at)).version == Version(time_us, OFFSET)


@pytest.mark.parametrize(
    ("updated_at", "reason"),
    [
        ("null", "updated_at is missing"),
        ("1763800000000.0", "got `float` - at `$.updated_at`"),
        ("1763800000000.5", "got `float` - at `$.updated_at`"),
        ("1.7638e12", "got `float` - at `$.updated_at`"),
        ("1e400", "out of range - at `$.updated_at`"),
        ("true", "got `bool` - at `$.updated_at`"),
        ("[1763800000000]", "got `array` - at `$.updated_at`"),
        ("{}", "got `object` - at `$.updated_at`"),
        ("1763800000", "updated_at 1763800000 is too small: seconds? milliseconds are wanted"),
        ("99999999999", "updated_at 99999999999 is too small: seconds? milliseconds are wanted"),
        ("0", "seconds? milliseconds are wanted"),
        ("-1", "updated_at -1 is before 1970"),
        ("-1763800000000", "is before 1970"),
        ("1763800000000123", "updated_at 1763800000000123 is too large: microseconds? milliseconds are wanted"),
        ("9" * 30, "is too large"),
        ("9" * 4300, "is too large"),
        ("-" + "9" * 4299, "is before 1970"),
        ("9" * 5000, "out of range - at `$.updated_at`"),
        ('""', "is not an RFC 3339 time"),
        ('"1763800000000"', "is not an RFC 3339 time"),
        ('"2025-11-22T08:26:40"', "has no offset"),
        ('"2025-02-30T08:26:40Z"', "names a day that does not exist"),
        ('"2025-11-22T08:26:40+25:00"', "is not an RFC 3339 time"),
        ('"1970-01-01T00:30:00+01:00"', "is before 1970"),
    ],
)
def test_unusable_updated_at(updated_at: str, reason: str) -> None:
    with pytest.raises(InvalidUpdateError) as invalid:
        _decode(_value(updated_at), ANY_TIME)
    assert reason in str(invalid.value)


def test_updated_at_is_needed() -> None:
    with pytest.raises(InvalidUpdateError, match="updated_at is missing"):
        _decode(b'{"data": 1}')


@pytest.mark.parametrize(
    ("updated_at", "rules"),
    [
        (f"{1763800000000 + DAY_S * 1000}", Rules()),
        ('"2025-11-23T08:26:40Z"', Rules()),
        ("1763800010000", Rules(future_limit_s=10)),
        ("1763800000000", Rules(future_limit_s=0)),
        ('"2255-06-05T23:47:34.740991Z"', ANY_TIME),
        ("9007199254739", ANY_TIME),
    ],
)
def test_the_future_up_to_the_limit(updated_at: str, rules: Rules) -> None:
    assert _decode(_value(updated_at), rules).version.updated_at_us >= NOW_US


@pytest.mark.parametrize(
    ("updated_at", "rules", "reasons"),
    [
        (
            f"{1763800000001 + DAY_S * 1000}",
            Rules(),
            ["2025-11-23T08:26:40.001", "1763886400001", "86400 s are allowed"],
        ),
        ('"2025-11-23T08:26:40.000001Z"', Rules(), ["2025-11-23T08:26:40.000001Z", "86400 s are allowed"]),
        ('"2026-11-22T08:26:40Z"', Rules(), ["2026-11-22T08:26:40Z", "31536000 s ahead", "86400 s are allowed"]),
        ("1763800010001", Rules(future_limit_s=10), ["1763800010001", "10 s are allowed"]),
        # Whatever the limit, a version must be able to hold it.
        ('"2255-06-05T23:47:34.740992Z"', ANY_TIME, ["2255-06-05T23:47:34.740992Z", "June 2255"]),
        ('"9999-12-31T23:59:60Z"', ANY_TIME, ["9999-12-31T23:59:60Z", "June 2255"]),
        ("9007199254740", ANY_TIME, ["9007199254740", "is too large"]),
    ],
)
def test_further_in_the_future_than_the_limit(updated_at: str, rules: Rules, reasons: list[str]) -> None:
    with pytest.raises(InvalidUpdateError) as invalid:
        _decode(_value(updated_at), rules)
    assert [reason for reason in reasons if reason not in str(invalid.value)] == []


@pytest.mark.parametrize(
    ("rest", "sequence"),
    [
        ("", OFFSET),
        (', "sequence": null', OFFSET),
        (', "sequence": 0', 0),
        (', "sequence": -0', 0),
        (', "sequence": 42', 42),
        (', "sequence": 9007199254740991', 2**53 - 1),
        (', "sequence": 1, "sequence": 2', 2),
    ],
)
def test_sequence(rest: str, sequence: int) -> None:
    assert _decode(_value("1763800000000", rest)).version == Version(NOW_US, sequence)


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [
        ("9007199254740992", "sequence 9007199254740992 is out of range: 0 to 2^53-1"),
        ("9223372036854775808", "is out of range"),
        ("18446744073709551616", "is out of range"),
        ("-1", "sequence -1 is out of range"),
        ("-9223372036854775809", "is out of range"),
        ("9" * 4300, "is out of range"),
        ("9" * 10**6, "out of range - at `$.sequence`"),
        ("42.0", "got `float` - at `$.sequence`"),
        ("1e3", "got `float` - at `$.sequence`"),
        ('"42"', "got `str` - at `$.sequence`"),
        ("true", "got `bool` - at `$.sequence`"),
        ("[]", "got `array` - at `$.sequence`"),
    ],
)
def test_unusable_sequence(sequence: str, reason: str) -> None:
    with pytest.raises(InvalidUpdateError) as invalid:
        _decode(_value("1763800000000", f', "sequence": {sequence}'))
    assert reason in str(invalid.value)
    assert len(str(invalid.value)) < 500
