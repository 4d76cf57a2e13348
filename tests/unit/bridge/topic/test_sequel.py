"""Records that come one behind the other, and such as do not."""

import pytest

from bridge.topic.sequel import Sequel


def never(number: int) -> int:
    raise AssertionError(f"nobody needs to know where partition {number} begins")


def test_offsets_that_grow_follow_and_gaps_are_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    sequel = Sequel(0)
    assert [sequel.follows(offset, never) for offset in (7, 8, 9)] == [True] * 3, "where nobody said where it begins"
    sequel.begin(3)
    assert sequel.follows(3, never)
    assert sequel.follows(6, lambda _: 3), "compacted, or a transaction's end"
    assert sequel.take_broken() is None
    assert not caplog.records


def test_what_was_deleted_before_it_was_read_is_named(caplog: pytest.LogCaptureFixture) -> None:
    sequel = Sequel(2)
    sequel.begin(3)
    assert sequel.follows(9, lambda _: 8)
    assert "partition 2: what was at offsets 3 to 7 is gone from the topic" in caplog.text


def test_a_partition_that_goes_back_is_told_once_and_left_out_until_it_is_read_from_somewhere() -> None:
    sequel = Sequel(0)
    sequel.begin(5)
    assert sequel.follows(5, never)
    assert not sequel.follows(0, never)
    assert not sequel.follows(6, never)
    assert not sequel.ends(7)
    assert sequel.take_broken() == 6
    assert sequel.take_broken() is None
    assert not sequel.follows(7, never)
    sequel.begin(0)
    assert sequel.follows(0, never)
    assert sequel.ends(1)
