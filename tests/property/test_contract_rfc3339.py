"""RFC 3339 texts of any instant and offset, against the standard library's arithmetic."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import assume, given
from hypothesis import strategies as st

from lastword.contract.rfc3339 import format_rfc3339, parse_rfc3339

# How long an example takes says more about the machine's other tenants than about the parser.

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

offsets_min = st.integers(-(23 * 60 + 59), 23 * 60 + 59)
local_times = st.datetimes(min_value=datetime(1969, 12, 31), max_value=datetime(9999, 12, 31, 23, 59, 59, 999_999))  # noqa: DTZ001 - the offset is drawn apart


def _offset(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


@given(
    local=local_times, offset_min=offsets_min, separator=st.sampled_from("Tt "), cut=st.text("0123456789", max_size=12)
)
def test_agrees_with_datetime_and_cuts_what_is_finer(
    local: datetime, offset_min: int, separator: str, cut: str
) -> None:
    time = local.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    time_us = (time - EPOCH) // MICROSECOND
    assume(time_us >= 0)
    text = f"{local:%Y-%m-%d}{separator}{local:%H:%M:%S}.{local.microsecond:06}{cut}{_offset(offset_min)}"
    assert parse_rfc3339(text) == time_us


@given(local=local_times, offset_min=offsets_min)
def test_second_60_is_the_next_second(local: datetime, offset_min: int) -> None:
    minute = local.replace(second=59, tzinfo=timezone(timedelta(minutes=offset_min)))
    time_us = (minute - EPOCH) // MICROSECOND + 1_000_000
    assume(time_us >= 0)
    text = f"{local:%Y-%m-%dT%H:%M}:60.{local.microsecond:06}{_offset(offset_min)}"
    assert parse_rfc3339(text) == time_us


@given(time_us=st.integers(0, 2**53 - 1))
def test_what_is_written_is_read_back(time_us: int) -> None:
    assert parse_rfc3339(format_rfc3339(time_us)) == time_us


@given(
    text=st.text()
    | st.from_regex(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?", fullmatch=True)
)
def test_any_text_is_a_time_or_refused_with_a_reason(text: str) -> None:
    try:
        time_us = parse_rfc3339(text)
    except ValueError as error:
        assert 10 < len(str(error)) < 600  # noqa: PT017 - what a refusal says is half of the property
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert time_us >= 0
        assert text.isascii()
