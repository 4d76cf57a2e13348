"""Clients that have forgotten every Kafka broker, or their group: another takes their place, on a real Kafka.

It happens to them now and then after Kafka has stood still: test_kafka_faults.py. Here they are told so,
in the words of the statistics of a client to which it did happen.
"""

import time

from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from bridge.letters.dead_letters import DeadLetter, DeadLetters
from lastword.kafka.client import WITHOUT, BrokerList
from lastword.publisher.publisher import Publisher
from servers import Reachable
from tests.kafka_helpers import Member, create_topic, numbered, produce, read, values
from tests.waiting import wait_until

FORGOTTEN = '{"brokers": {"GroupCoordinator": {"nodeid": -1, "source": "logical", "state": "TRY_CONNECT"}}}'


def forget(brokers: BrokerList) -> None:
    for _ in range(WITHOUT):
        assert not brokers.forgotten
        brokers.hear(FORGOTTEN)
    assert brokers.forgotten


def test_the_consumer_is_replaced_and_reads_on(kafka_server: Reachable, topic: str, group: str) -> None:
    create_topic(kafka_server.address, topic)
    with Member(kafka_server.address, topic, group) as member:
        member.join(1)
        produce(kafka_server.address, topic, numbered(2))
        assert values(member.fetch_until(2)) == [b"0", b"1"]
        forget(member.records._membership.brokers)
        produce(kafka_server.address, topic, numbered(3))
        assert values(member.fetch_until(5)) == [b"0", b"1", b"0", b"1", b"2"], "nothing was committed"
        assert [what for what, _ in member.rebalances] == ["assigned", "lost", "assigned"]


LEFT_OUT = (
    '{"brokers": {"GroupCoordinator": {"nodeid": 1, "source": "logical", "state": "UP"}, '
    '"127.0.0.1:1/1": {"nodeid": 1, "source": "learned", "state": "UP"}}, '
    '"cgrp": {"state": "up", "join_state": "%s", "assignment_size": %d}}'
)


def leave_out(brokers: BrokerList) -> None:
    while not brokers.left_out:
        brokers.hear(LEFT_OUT % ("wait-join", 0))


def test_a_consumer_that_finds_no_place_in_its_group_is_replaced(
    kafka_server: Reachable, topic: str, group: str
) -> None:
    create_topic(kafka_server.address, topic)
    with Member(kafka_server.address, topic, group) as member:
        member.join(1)
        brokers = member.records._membership.brokers
        leave_out(brokers)
        for told in (LEFT_OUT % ("steady", 0), LEFT_OUT % ("wait-join", 4), FORGOTTEN):
            brokers.hear(told)
            assert not brokers.left_out, "it has its place, or keeps its partitions, or has no connection"
            leave_out(brokers)
        produce(kafka_server.address, topic, numbered(1))
        assert values(member.fetch_until(1)) == [b"0"]
        assert [what for what, _ in member.rebalances] == ["assigned", "lost", "assigned"]


def test_a_consumer_that_knows_its_brokers_says_so(kafka_server: Reachable, topic: str, group: str) -> None:
    create_topic(kafka_server.address, topic)
    with Member(kafka_server.address, topic, group) as member:
        member.join(1)
        brokers = member.records._membership.brokers
        brokers.hear(FORGOTTEN)
        assert brokers._without == 1

        def heard() -> bool:
            member.records.fetch(1, 0.1)
            return brokers._without == 0

        wait_until(heard, what="the consumer's own statistics")


def test_the_dead_letters_get_another_producer(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt")
    produce(kafka_server.address, topic, numbered(1))
    [message] = read(kafka_server.address, topic, 1)
    letters = DeadLetters({"bootstrap.servers": kafka_server.address}, f"{topic}-dlt")
    window = Window(Bounds(), Clocks())
    window.assign([0])
    first = letters._producer
    forget(letters._brokers)
    # It is given to the one that has forgotten, and must not be lost with it.
    letters.send(
        DeadLetter(window.add_dead_letter(0, 0, size=1, source=message), message, "decode", "Error", "on purpose")
    )
    wait_until(lambda: letters.delivered(time.monotonic()), what="the letter")
    assert letters._producer is not first
    letters.close(5)
    assert len(read(kafka_server.address, f"{topic}-dlt", 1)) == 1


def test_the_publisher_gets_another_producer(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic)
    publisher = Publisher({"bootstrap.servers": kafka_server.address}, topic)
    publisher.publish_record(b"k", b"0")
    publisher.flush(60)
    first = publisher._producing
    assert first is not None
    forget(first._brokers)
    publisher.publish_record(b"k", b"1")
    assert publisher._producing is not first
    publisher.close(60)
    assert values(read(kafka_server.address, topic, 2)) == [b"0", b"1"]
