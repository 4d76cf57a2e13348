"""Offsets that a topic made anew repeats, where they are the order."""

import pytest

from bridge.topic.repeated import why_repeated
from lastword.contract.record import Update
from lastword.contract.version import Version


def by_offset(offset: int, generation: int = 0) -> Update:
    return Update(entity_id="7", version=Version.at(offset, generation), data=b"{}")


def why(update: Update, offset: int, timestamp_ms: int = 1_000, *, least: int = 1) -> str:
    return why_repeated([update], offset, timestamp_ms, least=least)


def test_a_record_of_an_earlier_generation_than_the_topic_may_not_be_taken_in() -> None:
    assert not why(by_offset(3, 1), 3)
    assert why(by_offset(4), 4)
    assert not why(by_offset(4), 4, least=0), "a topic that was not made anew"


@pytest.mark.parametrize(
    "version",
    [Version(1_763_800_000_000_000, 4), Version.at((3, 4), 0), Version.at(9, 0)],
    ids=["by time", "by a source's commit", "of a letter that was sent back"],
)
def test_versions_that_are_no_offsets_of_this_topic_pass(version: Version) -> None:
    assert not why(Update(entity_id="7", version=version, data=b"{}"), 4)


def test_the_reason_names_the_time() -> None:
    assert "Add 2025-11-22T08:26:40.123000Z to LASTWORD_POSITIONS_ANEW" in why(by_offset(4), 4, 1_763_800_000_123)
