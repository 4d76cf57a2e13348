"""Offsets that a topic made anew repeats, where they are the order."""

import pytest

from bridge.topic.repeated import RepeatedOffsets
from lastword.contract.record import Update
from lastword.contract.version import Version


def by_offset(offset: int, generation: int = 0) -> Update:
    return Update(product_id="7", version=Version.at(offset, generation), data=b"{}")


def test_a_record_of_an_earlier_generation_stops_its_partition_until_it_is_read_anew() -> None:
    repeated = RepeatedOffsets()
    repeated.begin(0, 1)
    repeated.begin(1, 0)
    assert repeated.follow(0, [by_offset(3, 1)], 3, 1_000)
    assert not repeated.follow(0, [by_offset(4)], 4, 1_000)
    assert not repeated.follow(0, [by_offset(5, 1)], 5, 1_000), "nor does anything after it"
    assert repeated.follow(1, [by_offset(4)], 4, 1_000), "a topic that was not made anew"
    assert repeated.stopped(0.0) == {0}
    repeated.begin(0, 1)
    assert repeated.follow(0, [by_offset(4, 1)], 4, 1_000)
    assert repeated.stopped(0.0) == frozenset()


@pytest.mark.parametrize(
    "version",
    [Version(1_763_800_000_000_000, 4), Version.at((3, 4), 0), Version.at(9, 0)],
    ids=["by time", "by a source's commit", "of a letter that was sent back"],
)
def test_versions_that_are_no_offsets_of_this_topic_pass(version: Version) -> None:
    repeated = RepeatedOffsets()
    repeated.begin(0, 1)
    assert repeated.follow(0, [Update(product_id="7", version=version, data=b"{}")], 4, 1_000)


def test_the_complaint_names_the_time_and_comes_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    repeated = RepeatedOffsets()
    repeated.begin(0, 1)
    repeated.follow(0, [by_offset(4)], 4, 1_763_800_000_123)
    for now in (5.0, 6.0, 66.0):
        repeated.stopped(now)
    assert [record.getMessage() for record in caplog.records] == [caplog.records[0].getMessage()] * 2
    assert "Add 2025-11-22T08:26:40.123000Z to LASTWORD_POSITIONS_ANEW" in caplog.text
