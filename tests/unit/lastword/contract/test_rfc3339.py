import pytest

from lastword.contract.rfc3339 import format_rfc3339, parse_rfc3339

SECOND = 1_000_000
MORNING = 1_763_800_000 * SECOND  # 2025-11-22T08:26:40Z
NEW_YEAR_2017 = 1_483_228_800 * SECOND


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("2025-11-22T08:26:40Z", MORNING),
        # The offset says how far local time is ahead of UTC.
        ("2025-11-22T08:26:40+00:00", MORNING),
        ("2025-11-22T08:26:40-00:00", MORNING),
        ("2025-11-22T09:26:40+01:00", MORNING),
        ("2025-11-22T13:56:40+05:30", MORNING),
        ("2025-11-22T00:26:40-08:00", MORNING),
        ("2025-11-21T08:27:40-23:59", MORNING),
        ("2025-11-23T08:25:40+23:59", MORNING),
        # A space, and t and z in lower case.
        ("2025-11-22 08:26:40Z", MORNING),
        ("2025-11-22t08:26:40z", MORNING),
        ("2025-11-22 09:26:40+01:00", MORNING),
        # Digits past microseconds are cut.
        ("2025-11-22T08:26:40.1Z", MORNING + 100_000),
        ("2025-11-22T08:26:40.000123Z", MORNING + 123),
        ("2025-11-22T08:26:40.000123+00:00", MORNING + 123),
        ("2025-11-22T08:26:40.0001239Z", MORNING + 123),
        ("2025-11-22T08:26:40.123456789Z", MORNING + 123_456),
        ("2025-11-22T08:26:40.9999999Z", MORNING + 999_999),
        ("2025-11-22T08:26:40.999999" + "9" * 1000 + "Z", MORNING + 999_999),
        ("2025-11-22T08:26:40.00000000000001Z", MORNING),
        # :60 is the next second, in whatever minute.
        ("2016-12-31T23:59:60Z", NEW_YEAR_2017),
        ("2016-12-31T23:59:60.5Z", NEW_YEAR_2017 + 500_000),
        ("2016-12-31T23:59:60.9999999z", NEW_YEAR_2017 + 999_999),
        ("2017-01-01T00:59:60+01:00", NEW_YEAR_2017),
        ("2016-12-31T15:59:60-08:00", NEW_YEAR_2017),
        ("2025-11-22T08:25:60Z", MORNING - 40 * SECOND),
        ("2024-02-28T23:59:60Z", 1_709_164_800 * SECOND),
        ("2024-02-29T23:59:60Z", 1_709_251_200 * SECOND),
        ("9999-12-31T23:59:60Z", 253_402_300_800 * SECOND),
        # The epoch, seen from other offsets too.
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.0000019Z", 1),
        ("1969-12-31T23:00:00-01:00", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:60Z", 0),
        # Leap years.
        ("2000-02-29T00:00:00Z", 951_782_400 * SECOND),
        ("2024-02-29T12:00:00Z", 1_709_208_000 * SECOND),
    ],
)
def test_valid_times(text: str, time_us: int) -> None:
    assert parse_rfc3339(text) == time_us


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2025-11-22T08:26:40", "no offset"),
        ("2025-11-22 08:26:40.5", "no offset"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("1969-12-31T23:59:59.999999Z", "before 1970"),
        ("1970-01-01T00:59:59+01:00", "before 1970"),
        ("1969-12-31T22:59:59-01:00", "before 1970"),
        ("0001-01-01T00:00:00+23:59", "before 1970"),
        ("0000-01-01T00:00:00Z", "does not exist"),
        ("2025-02-29T00:00:00Z", "does not exist"),
        ("2100-02-29T00:00:00Z", "does not exist"),
        ("2025-04-31T00:00:00Z", "does not exist"),
        ("2025-13-01T00:00:00Z", "does not exist"),
        ("2025-00-01T00:00:00Z", "does not exist"),
        ("2025-01-00T00:00:00Z", "does not exist"),
        ("2025-01-32T23:59:60Z", "does not exist"),
        ("2025-11-22T24:00:00Z", "is not an RFC 3339"),
        ("2025-11-22T08:60:00Z", "is not an RFC 3339"),
        ("2025-11-22T08:26:61Z", "is not an RFC 3339"),
        ("2025-11-22T08:26:40+24:00", "is not an RFC 3339"),
        ("2025-11-22T08:26:40+01:60", "is not an RFC 3339"),
        ("2025-11-22T08:26:40+0100", "is not an RFC 3339"),
        ("2025-11-22T08:26:40+01", "is not an RFC 3339"),
        ("2025-11-22T08:26:40+01:00:00", "is not an RFC 3339"),
        ("2025-11-22T08:26:40 +01:00", "is not an RFC 3339"),
        ("2025-11-22T08:26:40\u221201:00", "is not an RFC 3339"),
        ("2025-11-22T08:26:40 UTC", "is not an RFC 3339"),
        ("2025-11-22T08:26:40ZZ", "is not an RFC 3339"),
        ("2025-11-22T08:26:40.Z", "is not an RFC 3339"),
        ("2025-11-22T08:26:40,5Z", "is not an RFC 3339"),
        ("2025-11-22T08:26Z", "is not an RFC 3339"),
        ("2025-11-22T08Z", "is not an RFC 3339"),
        ("2025-11-22", "is not an RFC 3339"),
        ("2025-11-22_08:26:40Z", "is not an RFC 3339"),
        ("2025-11-22  08:26:40Z", "is not an RFC 3339"),
        ("20251122T082640Z", "is not an RFC 3339"),
        ("2025-W47-6T08:26:40Z", "is not an RFC 3339"),
        ("2025-326T08:26:40Z", "is not an RFC 3339"),
        ("25-11-22T08:26:40Z", "is not an RFC 3339"),
        ("12025-11-22T08:26:40Z", "is not an RFC 3339"),
        ("+2025-11-22T08:26:40Z", "is not an RFC 3339"),
        ("-2025-11-22T08:26:40Z", "is not an RFC 3339"),
        ("2025-1-22T08:26:40Z", "is not an RFC 3339"),
        ("2025-11-22T8:26:40Z", "is not an RFC 3339"),
        (" 2025-11-22T08:26:40Z", "is not an RFC 3339"),
        ("2025-11-22T08:26:40Z ", "is not an RFC 3339"),
        ("2025-11-22T08:26:40Z\n", "is not an RFC 3339"),
        ("2025-11-22T08:26:40Z[Europe/Berlin]", "is not an RFC 3339"),
        ("\uff12\uff10\uff12\uff15-11-22T08:26:40Z", "is not an RFC 3339"),
        ("2025-11-22T08:26:40.\u0665Z", "is not an RFC 3339"),
        ("2025-11-22T08:26:4\u017fZ", "is not an RFC 3339"),
        ("1763800000000", "is not an RFC 3339"),
        ("now", "is not an RFC 3339"),
        ("", "is not an RFC 3339"),
        ("\ud800", "is not an RFC 3339"),
        ("\x00" * 10**6, "is not an RFC 3339"),
    ],
)
def test_invalid_times(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        parse_rfc3339(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (MORNING, "2025-11-22T08:26:40Z"),
        (MORNING + 123, "2025-11-22T08:26:40.000123Z"),
        (2**53 - 1, "2255-06-05T23:47:34.740991Z"),
    ],
)
def test_written_as_utc_and_read_back(time_us: int, text: str) -> None:
    assert format_rfc3339(time_us) == text
    assert parse_rfc3339(text) == time_us
