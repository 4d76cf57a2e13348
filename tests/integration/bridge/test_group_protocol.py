"""The two group protocols on a real Kafka: whom a group takes in, who has to wait, and what is said."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

import bridge.membership
from lastword.kafka.group import read_group
from lastword.kafka.reading import Beginning, Reading
from lastword.kafka.refusal import KafkaRefusedError
from servers import Kafka, Reachable
from tests.kafka_helpers import PROTOCOLS, RUN_ID, Given, Member, committed, create_topic, numbered, produce, values
from tests.waiting import wait_until


class WithoutTheProtocol(Kafka):
    """A Kafka whose administrator does not offer the newer protocol."""

    def _settings(self, controller_port: int) -> dict[str, str | int | Path]:
        return {**super()._settings(controller_port), "group.coordinator.rebalance.protocols": "classic"}


@pytest.fixture(scope="module")
def kafka_without_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with WithoutTheProtocol(tmp_path_factory.mktemp("kafka-classic")) as server:
        yield server


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(bridge.membership, "JOIN_AGAIN_S", 0.5)
    caplog.set_level(logging.WARNING, "bridge.membership")


def poll_until_refused(member: Member) -> str:
    with pytest.raises(KafkaRefusedError) as refused:
        wait_until(lambda: member.records.fetch(1, 0.1), what="the refusal")
    return str(refused.value)


def test_a_kafka_that_does_not_offer_the_protocol_is_told_as_such(
    kafka_without_it: Kafka, topic: str, group: str
) -> None:
    create_topic(kafka_without_it.address, topic)
    with Member(kafka_without_it.address, topic, group, "consumer") as member:
        said = poll_until_refused(member)
    assert f"topic {topic!r} in group {group!r}" in said
    assert "API version not supported" in said
    assert "it needs Kafka 4.0, with group.version=1" in said
    assert "unset LASTWORD_KAFKA_GROUP_PROTOCOL" in said


def test_an_assignor_that_there_is_not_is_told_as_such(address: str, topic: str, group: str) -> None:
    with Member(address, topic, group, "consumer", group_remote_assignor="sticky") as member:
        said = poll_until_refused(member)
    assert "LASTWORD_KAFKA_GROUP_REMOTE_ASSIGNOR should be one of the brokers' group.consumer.assignors" in said


def until_it_waits(waiting: Member, other: Member, caplog: pytest.LogCaptureFixture) -> None:
    def waits() -> bool:
        assert not [*other.records.fetch(1, 0.05), *waiting.records.fetch(1, 0.05)]
        return "does not take this bridge in" in caplog.text

    wait_until(waits, what="the complaint")
    assert waiting.assigned == set()


def test_a_member_waits_for_those_of_the_classic_protocol_to_leave(
    address: str, topic: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A group with librdkafka's cooperative members cannot be converted by Kafka while they are in it."""
    with Member(address, topic, group) as old:
        old.join(1)
        # With its second place in the group, a member brings along which partitions it had.
        with Member(address, topic, group) as other:
            wait_until(lambda: not old.records.fetch(1, 0.05) + other.records.fetch(1, 0.05) and other.rebalances)
        with Member(address, topic, group, "consumer") as new:
            until_it_waits(new, old, caplog)
            assert f"group {group!r}" in caplog.text
            assert "stop the bridges that run without LASTWORD_KAFKA_GROUP_PROTOCOL=consumer" in caplog.text
            produce(address, topic, numbered(2))
            old.fetch_until(2)
            old.store(1, RUN_ID)
            old.close()
            assert values(new.fetch_until(1)) == [b"1"]


def test_a_classic_member_joins_beside_one_of_the_newer_protocol(
    kafka_server: Reachable, topic: str, group: str
) -> None:
    """The way back is open: Kafka translates, and then converts the group."""
    address = kafka_server.address
    create_topic(address, topic, 2)
    with Member(address, topic, group, "consumer") as new:
        new.join(2)
        with Member(address, topic, group) as classic:

            def shared() -> bool:
                assert not [*new.records.fetch(1, 0.05), *classic.records.fetch(1, 0.05)]
                return len(new.assigned) == len(classic.assigned) == 1

            wait_until(shared, what="one partition for each")
            found = read_group({"bootstrap.servers": address}, topic, group)
            assert found.members == 2
            assert all(one.owner for one in found.progress.values())
            new.close()
            classic.join(2)


def test_an_instance_waits_for_the_other_of_its_name_to_leave(
    address: str, topic: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Member(address, topic, group, "consumer", group_instance_id="one") as first:
        first.join(1)
        with Member(address, topic, group, "consumer", group_instance_id="one") as second:
            until_it_waits(second, first, caplog)
            assert "a member with this LASTWORD_KAFKA_GROUP_INSTANCE_ID" in caplog.text


def test_a_member_with_another_strategy_is_told_so_once(
    address: str, topic: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Member(address, topic, group) as first:
        first.join(1)
        with Member(address, topic, group, partition_assignment_strategy="range") as second:
            until_it_waits(second, first, caplog)
            first.close()
            second.join(1)
    assert caplog.text.count("does not take this bridge in: its members use the other group protocol") == 1


# What looks from outside.


def test_a_group_is_looked_at_and_its_topic_read_with_the_newer_protocol(
    kafka_server: Reachable, topic: str, group: str
) -> None:
    address = kafka_server.address
    create_topic(address, topic, 2)
    properties = {"bootstrap.servers": address, **PROTOCOLS["consumer"]}
    with Member(address, topic, group, "consumer") as member:
        member.join(2)
        produce(address, topic, numbered(3))
        member.fetch_until(3)
        member.store(2, RUN_ID)

        def stored() -> bool:
            member.records.fetch(1, 0.05)
            return committed(address, group, topic)[0] == 2

        wait_until(stored, what="the commit")
        found = read_group(properties, topic, group)
        assert found.members == 1
        assert (found.progress[0].committed, found.progress[0].lag) == (2, 1)
        assert all(one.owner for one in found.progress.values())
        with Reading(properties, topic, Beginning(), group=group) as reading:
            assert values(list(reading)) == [b"0", b"1", b"2"]
    assert read_group(properties, topic, group).members == 0


# Partitions that are added.


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_partition_that_is_added_is_read_from_its_beginning(
    address: str, topic: str, group: str, protocol: str
) -> None:
    """librdkafka's own default makes it wait for five minutes, longer than this test does."""
    with Member(address, topic, group, protocol) as member:
        member.join(1)
        admin = AdminClient({"bootstrap.servers": address})
        admin.create_partitions([NewPartitions(topic, 2)])[topic].result(60)
        wait_until(lambda: _has_leader(admin, topic, 1), what="the new partition")
        produce(address, topic, [Given(value=b"new", partition=1)])
        [record] = member.fetch_until(1)
    assert (record.partition(), record.value()) == (1, b"new")
    assert member.rebalances[0] == ("assigned", [0])


def _has_leader(admin: AdminClient, topic: str, number: int) -> bool:
    partitions = admin.list_topics(topic, timeout=60).topics[topic].partitions
    return number in partitions and partitions[number].leader >= 0
