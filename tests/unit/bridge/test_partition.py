"""One partition: what of it is forgotten when, and what stops it."""

import logging
from typing import cast

import pytest
from confluent_kafka import Message

from bridge.partition import COMPLAIN_EVERY_S, Arrived, Partition
from lastword.contract.record import Update
from lastword.contract.version import Version
from lastword.kafka.identity import Identity

LEAST_1 = str(Identity("0f", "topic", 1, 1))


class Record:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_763_800_000_123


def arrived(offset: int, version: Version | None = None) -> Arrived:
    update = Update(entity_id="7", version=version or Version.at(offset, 0), data=b"{}")
    return Arrived(cast("Message", Record(offset)), 1, [update])


def test_nothing_follows_a_change_that_stops_its_partition_until_it_is_read_anew() -> None:
    partition = Partition(0)
    partition.begin(LEAST_1)
    later = [arrived(3, Version.at(3, 1)), arrived(4), arrived(5, Version.at(5, 1))]
    assert [partition.follows(one) for one in later] == [True, False, False]
    partition.start_over()
    partition.begin(LEAST_1)
    assert partition.follows(later[0])


def test_a_source_whose_positions_begin_anew_stops_it_and_again_after_a_rewind() -> None:
    partition = Partition(0)
    partition.begin("name")

    def commit(number: int, at_us: int) -> Arrived:
        update = Update(entity_id="7", version=Version.at((number, 9), 0), data=b"{}", time_us=at_us)
        return Arrived(cast("Message", Record(1)), 1, [update])

    assert partition.follows(commit(100, 10))
    assert not partition.follows(commit(50, 60_000_011))
    partition.start_over()
    partition.begin("name")
    assert not partition.follows(commit(50, 60_000_011))


def test_what_was_fetched_is_forgotten_where_it_is_read_anew() -> None:
    partition = Partition(0, undecodable_max=1)
    partition.begin("name")
    for forget in (partition.start_over, lambda: partition.begin("other")):
        partition.inbox.append(arrived(1))
        partition.end, partition.nothing_at = 7, 9
        forget()
        assert not partition.inbox
        assert partition.end is None
    assert (partition.checked, partition.displaced) == (True, False)
    assert partition.nothing_at is None
    partition.committable = 8
    partition.start_over()
    assert (partition.checked, partition.displaced) == (False, True)
    assert partition.committable is None


def test_it_complains_now_and_then_while_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    partition = Partition(4)
    partition.complain(0.0)
    partition.stopped = "for a reason"
    with caplog.at_level(logging.INFO):
        for now in (5.0, 6.0, 5.0 + COMPLAIN_EVERY_S, 6.0 + COMPLAIN_EVERY_S):
            partition.complain(now)
    said = "partition 4 is paused until this bridge is started again: for a reason"
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [("ERROR", said)] * 2
