"""Going back on a real Kafka: what is committed then and stays so, and what is read next."""

import pytest

import bridge.offsets
from bridge.delivery.rewind import Standing
from lastword.kafka.client import NotAnsweredError
from servers import Kafka
from tests.kafka_helpers import RUN_ID, Member, at_most, committed, create_topic, numbered, produce, values
from tests.waiting import wait_until

pytestmark = pytest.mark.core


def test_where_a_partition_stands(address: str, topic: str, member: Member) -> None:
    produce(address, topic, numbered(5))
    member.fetch_until(5)
    assert member.records.standing([0]) == {0: Standing(None, "", 0, 5)}

    member.store(3, RUN_ID)

    def stands() -> Standing:
        member.records.fetch(1, 0.05)
        return member.records.standing([0])[0]

    wait_until(lambda: stands() == Standing(3, RUN_ID, 0, 5), what="the commit")


@pytest.mark.parametrize("paused", [False, True])
def test_no_offset_that_was_stored_before_undoes_it_and_what_was_fetched_before_is_not_read(
    address: str, topic: str, group: str, member: Member, *, paused: bool
) -> None:
    produce(address, topic, numbered(50))
    member.fetch_until(50)
    member.store(40, "old")
    wait_until(lambda: not member.records.fetch(1, 0.05) and committed(address, group, topic)[0] == 40, what="commit")
    produce(address, topic, numbered(50))
    member.records.fetch(1, 5)  # librdkafka has fetched the others behind it
    if paused:
        member.records.pause_only(frozenset({0}), frozenset({0}))
    member.store(45, "old")

    member.records.go_back(0, 10, "new")
    assert committed(address, group, topic) == (10, "new")

    member.records.pause_only(frozenset(), frozenset({0}))
    found = member.fetch_until(90)
    assert [message.offset() for message in found] == list(range(10, 100))
    member.close()
    assert committed(address, group, topic) == (10, "new")


def test_afterwards_it_is_committed_forward_again(address: str, topic: str, group: str, member: Member) -> None:
    produce(address, topic, numbered(9))
    member.fetch_until(9)
    member.store(9, "old")
    wait_until(lambda: not member.records.fetch(1, 0.05) and committed(address, group, topic)[0] == 9, what="commit")
    member.records.go_back(0, 2, "new")
    member.store(5, "new")

    def forward() -> bool:
        member.records.fetch(1, 0.05)
        return committed(address, group, topic) == (5, "new")

    wait_until(forward, what="commit")


def test_right_after_the_assignment(address: str, topic: str, group: str) -> None:
    produce(address, topic, numbered(20))
    with Member(address, topic, group) as member:
        member.fetch_until(20)
        member.store(20, "old")
    for _ in range(5):
        with Member(address, topic, group) as member:
            member.join(1)
            member.records.go_back(0, 4, "new")
            assert values(member.fetch_until(1))[0] == b"4"
            member.store(20, "old")


def test_a_kafka_that_does_not_answer_is_said_in_time(
    own_kafka: Kafka, topic: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge.offsets, "CALL_TIMEOUT_S", 0.5)
    create_topic(own_kafka.address, topic)
    with Member(own_kafka.address, topic, group) as member:
        produce(own_kafka.address, topic, numbered(5))
        member.fetch_until(5)
        own_kafka.pause()
        try:
            with at_most(60, "both calls"):
                with pytest.raises(NotAnsweredError, match="Timed out"):
                    member.records.standing([0])
                with pytest.raises(NotAnsweredError, match="no answer"):
                    member.records.go_back(0, 2, "new")
        finally:
            own_kafka.resume()
        wait_until(lambda: committed(own_kafka.address, group, topic) == (2, "new"), what="the commit on its way")


def test_nothing_goes_back_by_itself_though_pauses_begin_with_the_assignment(
    address: str, topic: str, group: str
) -> None:
    """Nothing is committed, so librdkafka asks where the partition begins; an answer to that must not come late."""
    produce(address, topic, numbered(60))
    with Member(address, topic, group) as member:
        offsets: list[int] = []
        settled = False

        def turn() -> bool:
            """A turn of a bridge that has room for one record: its partition is paused when it has come."""
            nonlocal settled
            member.records.pause_only(frozenset(member.assigned), frozenset(member.assigned))
            member.records.pause_only(frozenset(), frozenset(member.assigned))
            found = member.records.fetch(1, 0.2 if settled else 0.0005)
            if not settled and 0 in member.records.settled():
                member.records.read_from(0, 0)
                settled = True
            else:
                offsets.extend(message.offset() or 0 for message in found)
            return len(offsets) >= 60

        wait_until(turn, what="all records")
        assert member.records.broken() == {}
        assert offsets == list(range(60))
