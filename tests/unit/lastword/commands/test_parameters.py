"""What the commands take: times, places and parts of partitions, and what is said of anything else."""

import click
import pytest

from lastword.commands.parameters import ENTITY_ID, JSON_ID, RANGE, RECORD_ID, TIME, Range, RecordId, parse_time

NOW_S = 1_800_000_000.5


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("0s", 1_800_000_000_500),
        ("90s", 1_799_999_910_500),
        ("75m", 1_800_000_000_500 - 75 * 60_000),
        ("2h", 1_800_000_000_500 - 2 * 3_600_000),
        ("3d", 1_800_000_000_500 - 3 * 86_400_000),
        ("999999d", 0),
        ("1970-01-01T00:00:01Z", 1_000),
        ("2026-11-24T07:00:00+01:00", 1_795_500_000_000),
        ("2026-11-24T06:00:00.0001Z", 1_795_500_000_001),
    ],
)
def test_a_time_is_a_moment_or_so_long_ago(text: str, time_ms: int) -> None:
    assert parse_time(text, NOW_S) == time_ms


@pytest.mark.parametrize("text", ["", "75", "m", "-5m", "1.5h", "1w", "٣m", "now", "yesterday", "9" * 99 + "s"])
def test_another_time_is_refused_with_what_is_wanted(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339 time with an offset.*or a duration before now: 90s, 75m, 2h, 3d"):
        parse_time(text, NOW_S)


def test_a_time_without_an_offset_is_told_so() -> None:
    with pytest.raises(click.BadParameter, match="has no offset from UTC"):
        TIME("2026-11-24T06:00:00")


def test_a_place_reads_what_it_writes() -> None:
    assert RECORD_ID("3:17") == RecordId(3, 17)
    assert str(RecordId(3, 17)) == "3:17"


@pytest.mark.parametrize("text", ["", "3", "3:", ":3", "3:17:1", "-1:2", "3: 17", "٣:1", "1:" + "9" * 19])
def test_another_place_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"wanted is partition:offset, like 0:17"):
        RECORD_ID(text)


def test_a_range_may_be_open() -> None:
    assert RANGE("3:17") == Range(3, 17, None)
    assert RANGE("3:17-17") == Range(3, 17, 17)
    assert RANGE("0:0-250") == Range(0, 0, 250)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("3", "no part of a partition"), ("3:1-", "no part of a partition"), ("3:5-4", "ends before it begins")],
)
def test_another_range_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(click.BadParameter, match=complaint):
        RANGE(text)


@pytest.mark.parametrize("text", ["42", "a b", "ä" * 256])
def test_a_entity_id_is_any_text_that_a_record_can_have(text: str) -> None:
    assert ENTITY_ID(text) == text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (r'"a\u0000b"', "a\0b"),
        (r'"\u001b[31m\n"', "\x1b[31m\n"),
        ('"\u202eabc"', "\u202eabc"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ("-5", "-5"),
        ('"-5"', "-5"),
        ('"\\\\x00"', r"\x00"),
    ],
)
def test_a_entity_id_in_json_is_any_that_a_record_can_have(text: str, named: str) -> None:
    assert JSON_ID(text) == named


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("abc", "is no product id in JSON"),
        ('""', "has 0 bytes"),
        (f'"{"x" * 10_000}"', "has 10000 bytes in UTF-8: 1 to 512 are allowed"),
        (r'"\udc80"', "is no product id in JSON"),
        ('"\udcff"', "is no product id in JSON"),
        ("null", "is no product id in JSON"),
        ("1.5", "is no product id in JSON"),
        ('{"id": 1}', 'like "a.u0000b", or an integer'),
    ],
)
def test_another_entity_id_in_json_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(click.BadParameter, match=complaint) as raised:
        JSON_ID(text)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "has 0 bytes"), ("x" * 513, "has 513 bytes in UTF-8: 1 to 512 are allowed"), ("\udcff", "is not UTF-8")],
)
def test_another_entity_id_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(click.BadParameter, match=complaint):
        ENTITY_ID(text)
