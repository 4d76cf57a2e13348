"""What becomes of a notice by the row that the loader gave."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from lastword.contract.errors import RowBehindError, RowStaysBehindError, UnusableRowError
from lastword.contract.record import Update
from lastword.contract.version import Version
from tasks.notices.row import update_of

T_US = 1_763_800_000_000_000
TIME = datetime.fromtimestamp(T_US / 1e6, UTC)
LATER = TIME + timedelta(microseconds=1)
EARLIER = TIME - timedelta(microseconds=1)


def notice(sequence: int = 7, *, numbered: bool = True) -> Update:
    return Update(entity_id="42", version=Version(T_US, sequence), data=None, numbered=numbered)


def made(row: object, of: Update | None = None, *, overdue: bool = False) -> object:
    return update_of(of or notice(), row, overdue=overdue, future_limit_s=60, now_s=T_US / 1e6)


def written(row: object, of: Update | None = None) -> Update:
    found = made(row, of)
    assert isinstance(found, Update), found
    return found


@pytest.mark.parametrize(
    ("time", "sequence", "version"),
    [
        (TIME, 7, (T_US, 7)),
        (TIME, 9, (T_US, 9)),
        (LATER, 3, (T_US + 1, 3)),
        (TIME, None, (T_US, 7)),
        (LATER, None, (T_US + 1, 0)),
    ],
)
def test_the_version_is_the_rows_own(time: datetime, sequence: int | None, version: tuple[int, int]) -> None:
    update = written((time, sequence, {"price": 5}))
    assert (update.entity_id, update.version, update.data) == ("42", version, b'{"price":5}')
    assert not update.is_notice


def test_a_row_without_a_sequence_has_the_notices_though_that_is_an_offset() -> None:
    assert written((TIME, None, 1), notice(5_000, numbered=False)).version == (T_US, 5_000)
    assert written((LATER, None, 1), notice(5_000, numbered=False)).version == (T_US + 1, 0)


@pytest.mark.parametrize(
    "time",
    [
        TIME,
        TIME.astimezone(timezone(timedelta(hours=8))),
        "2025-11-22T08:26:40Z",
        "2025-11-22T16:26:40.000000+08:00",
        T_US // 1_000,
    ],
)
def test_each_form_of_a_time(time: object) -> None:
    assert written((time, None, 1)).version == (T_US, 7)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"a": [1, None]}, b'{"a":[1,null]}'),
        (None, b"null"),
        ("text", b'"text"'),
        (b'{"a":  1}', b'{"a":  1}'),
        ({"on": date(2025, 11, 22)}, b'{"on":"2025-11-22"}'),
    ],
)
def test_data_is_json_or_becomes_it(data: object, text: bytes) -> None:
    assert written((TIME, 7, data)).data == text


@pytest.mark.parametrize("row", [None, (EARLIER, 9, 1), (TIME, 6, 1), (EARLIER, None, 1)])
def test_a_row_that_lags_behind_may_come(row: object) -> None:
    assert isinstance(made(row), RowBehindError)


def test_in_the_end_a_missing_row_is_a_deletion_and_an_older_one_an_error() -> None:
    assert made(None, overdue=True) == Update(entity_id="42", version=Version(T_US, 7), data=None, deleted=True)
    behind = made((TIME, 6, 1), overdue=True)
    assert isinstance(behind, RowStaysBehindError)
    assert f"notice {T_US}-7" in str(behind)
    assert f"version {T_US}-6" in str(behind)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (5, "the loader returned 5; wanted is a tuple"),
        ((TIME, 7), "wanted is a tuple"),
        ((TIME.replace(tzinfo=None), 7, 1), "has no offset from UTC"),
        ((None, 7, 1), "returned updated_at None; wanted is a datetime"),
        ((True, 7, 1), "returned updated_at True"),
        ((1_763_800_000, 7, 1), "too small: seconds?"),
        (("yesterday", 7, 1), "'yesterday' is not an RFC 3339 time"),
        ((datetime(1969, 1, 1, tzinfo=UTC), 7, 1), "1970 to June 2255 are allowed"),
        ((datetime(2300, 1, 1, tzinfo=UTC), 7, 1), "1970 to June 2255 are allowed"),
        ((TIME + timedelta(seconds=61), 7, 1), "ahead of this machine's clock"),
        ((TIME, "7", 1), "returned the sequence '7'; wanted is an integer, or None"),
        ((TIME, True, 1), "returned the sequence True"),
        ((TIME, -1, 1), "sequence -1 is out of range"),
        ((TIME, 7, b"{"), "data that is not JSON"),
        ((TIME, 7, b'"\xff"'), "data that is not JSON"),
        ((TIME, 7, {1, object()}), "data that is not JSON, or cannot be"),
    ],
)
def test_what_cannot_be_used_says_so(row: object, said: str) -> None:
    answer = made(row)
    assert isinstance(answer, UnusableRowError)
    assert "product '42'" in str(answer)
    assert said in str(answer)


def test_a_sequence_that_only_the_row_has_compares_with_nothing() -> None:
    answer = made((TIME, 3, 1), notice(5_000, numbered=False))
    assert isinstance(answer, UnusableRowError)
    assert "the sequence 3 and the notice has none" in str(answer)


PLACED = Update(entity_id="42", version=Version.at(900, 2), data=None, time_us=T_US)


def test_a_notice_by_position_keeps_its_own_version_for_no_time_compares_with_it() -> None:
    for time in (TIME, EARLIER, LATER, datetime(2300, 1, 1, tzinfo=UTC) - timedelta(days=30_000)):
        found = written((time, 4, 1), PLACED)
        assert (found.version, found.data) == (PLACED.version, b"1")
    assert written((LATER, None, 1), PLACED).updated_at_us == T_US + 1


def test_a_row_that_is_missing_is_a_deletion_at_the_notices_position() -> None:
    assert isinstance(made(None, PLACED), RowBehindError)
    found = made(None, PLACED, overdue=True)
    assert found == Update(entity_id="42", version=PLACED.version, data=None, deleted=True, time_us=T_US)
