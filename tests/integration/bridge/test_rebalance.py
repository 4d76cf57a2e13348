"""Pauses, rebalances and the end of a consumer, on a real Kafka."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Message

import bridge.membership
from bridge.partition import Partition, Partitions
from bridge.records import Records
from servers import Kafka, Reachable
from tests.kafka_helpers import RUN_ID, Given, Member, at_most, committed, create_topic, numbered, produce, values
from tests.waiting import wait_until

pytestmark = pytest.mark.core


@pytest.fixture(params=["classic", "consumer"])
def protocol(request: pytest.FixtureRequest) -> str:
    """How the members of a group come to their partitions: by one of them, or by Kafka (KIP-848)."""
    return str(request.param)


# Pausing.


def test_a_paused_partition_is_silent_the_other_flows_and_none_is_lost(
    kafka_server: Reachable, topic: str, group: str, protocol: str
) -> None:
    address = kafka_server.address
    create_topic(address, topic, 2)
    with Member(address, topic, group, protocol) as member:
        member.join(2)
        member.records.pause_only(frozenset({0}), frozenset({0, 1}))
        produce(address, topic, numbered(10) + numbered(10, partition=1))

        assert {message.partition() for message in member.fetch_until(10)} == {1}
        assert member.records.fetch(500, 0.5) == []

        member.records.pause_only(frozenset({1}), frozenset({0, 1}))
        produce(address, topic, numbered(5, partition=1))
        assert values(member.fetch_until(10)) == [f"{number}".encode() for number in range(10)]

        member.records.pause_only(frozenset(), frozenset({0, 1}))
        assert len(member.fetch_until(5)) == 5


# Rebalances.


def test_partitions_move_to_a_newcomer_and_back(kafka_server: Reachable, topic: str, group: str, protocol: str) -> None:
    address = kafka_server.address
    create_topic(address, topic, 2)
    with Member(address, topic, group, protocol) as old:
        old.join(2)
        old.records.pause_only(frozenset({0, 1}), frozenset({0, 1}))
        produce(address, topic, numbered(4) + numbered(4, partition=1))
        committing = []

        def commit(numbers: list[int]) -> None:
            # They are still ours here: a commit counts, and whoever comes next begins after it.
            committing.extend(numbers)
            for number in numbers:
                old.records.commit(number, 3, RUN_ID)

        old.on_revoked = commit
        with Member(address, topic, group, protocol) as new:
            got = share(old, new, until=lambda: len(old.assigned) == len(new.assigned) == 1)
            (moved,) = new.assigned
            (kept,) = old.assigned
            assert committing == [moved]
            assert ("revoked", [moved]) in old.rebalances
            assert not got[old]  # the pause holds through the rebalance for what was kept

            got[new] += new.fetch_until(1 - len(got[new])) if not got[new] else []
            assert values(got[new]) == [b"3"]
            new.records.commit(moved, 4, "new")
        assert committed(address, group, topic, moved) == (4, "new")

        # It was paused when it left, which librdkafka remembers; it flows again all the same.
        wait_until(lambda: not old.records.fetch(1, 0.05) and len(old.assigned) == 2, what="its return")
        old.records.pause_only(frozenset({kept}), frozenset({0, 1}))
        produce(address, topic, [Given(value=b"back", partition=moved)])
        assert [(m.partition(), m.value()) for m in old.fetch_until(1)] == [(moved, b"back")]

        old.records.pause_only(frozenset(), frozenset({0, 1}))
        assert {m.partition() for m in old.fetch_until(4)} == {kept}


def share(old: Member, new: Member, *, until: Callable[[], bool]) -> dict[Member, list[Message]]:
    """Let both poll until the group has settled."""
    got: dict[Member, list[Message]] = {old: [], new: []}

    def settled() -> bool:
        for member in (old, new):
            got[member] += member.records.fetch(500, 0.05)
        return until()

    wait_until(settled, what="the rebalance")
    return got


class SlowBetween:
    """A consumer that takes its time between poll() and consume(), as a busy machine might."""

    def __init__(self, consumer: Consumer, pause: Callable[[], None]) -> None:
        self._consumer = consumer
        self._pause = pause
        self.polled = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the consumer has
        return getattr(self._consumer, name)

    def poll(self, timeout: float) -> Message | None:
        message = self._consumer.poll(timeout)
        if message is not None:
            self.polled += 1
            self._pause()
        return message


def test_a_record_whose_partition_goes_in_the_same_fetch_is_not_returned(
    address: str, topic: str, group: str, protocol: str
) -> None:
    with Member(address, topic, group, protocol) as member:
        _check_the_record_that_comes_with_a_revocation(address, topic, member)


def _check_the_record_that_comes_with_a_revocation(address: str, topic: str, member: Member) -> None:
    member.join(1)
    produce(address, topic, numbered(3))
    consumer = member.records._membership.consumer
    # Like any revocation, this one is told to whoever polls next: here consume(), with a record polled before.
    slow = SlowBetween(consumer, consumer.unsubscribe)
    member.records._membership.consumer = slow  # type: ignore[assignment]

    def revoked() -> bool:
        assert member.records.fetch(500, 1) == []
        return member.rebalances[-1] == ("revoked", [0])

    wait_until(revoked, what="the revocation")
    assert slow.polled == 1


def test_an_error_in_a_callback_does_not_escape(
    address: str, topic: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    partitions: Partitions = {}

    def fail(numbers: list[int]) -> None:
        partitions.update({number: Partition(number) for number in numbers})
        raise RuntimeError(f"on purpose {numbers}")

    records = Records(
        {"bootstrap.servers": address},
        topic=topic,
        group=group,
        partitions=partitions,
        then={"assigned": fail, "revoked": fail, "lost": fail},
    )
    produce(address, topic, numbered(2))
    found: list[Message] = []

    def both() -> bool:
        found.extend(records.fetch(500, 0.1))
        return len(found) == 2

    wait_until(both, what="two records")
    records.close()

    assert caplog.text.count("RuntimeError: on purpose [0]") == 2


# Bad days.


def test_close_returns_without_an_answer_from_kafka(
    own_kafka: Kafka,
    topic: str,
    group: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = own_kafka.address
    create_topic(address, topic)
    monkeypatch.setattr(bridge.membership, "CLOSE_TIMEOUT_S", 0.5)
    caplog.set_level(logging.WARNING, "bridge.membership")
    with Member(address, topic, group) as member:
        produce(address, topic, numbered(2))
        member.fetch_until(2)
        member.on_revoked = lambda _: member.records.commit(0, 2, RUN_ID)
        own_kafka.pause()
        try:
            with at_most(60, "to close"):
                member.close()
            assert "Kafka does not answer" in caplog.text
        finally:
            own_kafka.resume()
        wait_until(lambda: committed(address, group, topic) == (2, RUN_ID), what="the commit that was on its way")
        wait_until(lambda: all(one.name != "close" for one in threading.enumerate()), what="the end of the thread")
