"""A topic that is deleted and made anew, cut off at its beginning, or shorter than what is committed of it.

A history is keyed by offsets, which mean two things here: what each test looks at is said in it.
"""

import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition

from bridge.delivery.rewind import MADE_ANEW, Marker
from lastword.publisher.publisher import Publisher
from tests.faults.dead_letters import count_letters
from tests.faults.figures import measured
from tests.faults.kafka.test_rebalances import partitions as partitions_of
from tests.faults.kafka.test_rebalances import wait_until_shared
from tests.faults.kafka.topics import MORE, OLD, Topics
from tests.faults.load import is_visible, publish
from tests.flow import Flow
from tests.pools import GROUP
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

NEW = {"longer": MORE, "equal": OLD, "shorter": OLD[:8]}
QUICK = {"LASTWORD_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS": "2000"}


@pytest.fixture
def flow_type() -> Callable[..., Flow]:
    return Flow


@pytest.fixture
def topics(flow: Flow) -> Topics:
    topics = Topics(flow)
    topics.create()
    return topics


class Sleepy:
    """A bridge that runs, sleeps or is stopped while something is done to its topic."""

    def __init__(self, flow: Flow, how: str, stack: ExitStack) -> None:
        self._flow, self._how, self._stack = flow, how, stack
        self.bridge = stack.enter_context(flow.bridge())

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        if self._how == "asleep":
            self.bridge.send(signal.SIGSTOP)
        elif self._how == "stopped":
            self.bridge.stop()
        yield
        if self._how == "asleep":
            self.bridge.send(signal.SIGCONT)
        elif self._how == "stopped":
            self.bridge = self._stack.enter_context(self._flow.bridge())


@pytest.mark.parametrize("how", ["running", "asleep", "stopped"])
def test_whatever_its_length_all_of_the_new_topic_is_read(flow: Flow, topics: Topics, how: str) -> None:
    with celery_worker(flow.environment, *GROUP), ExitStack() as stack:
        sleepy = Sleepy(flow, how, stack)
        publish(flow, *OLD, number=1)
        topics.wait_until_all_is_read()
        for number, (length, products) in enumerate(NEW.items(), 2):
            before = topics.ends()
            with measured(flow, f"the topic deleted and made anew, {length}", under=f"the bridge {how}") as measurement:
                with sleepy.meanwhile():
                    topics.make_anew()
                    publish(flow, *products, number=number)
                measurement.over()
                if length == "equal":
                    publish(flow, *(set(NEW["longer"]) - set(OLD)), number=number)
                    assert topics.ends() == before, "as long as the one before"
                wait_until(lambda: all(is_visible(flow, p, number) for p in products), what=length)  # noqa: B023
            topics.wait_until_all_is_read()
            sleepy.bridge.wait_for_log(MADE_ANEW)
            assert sleepy.bridge.exit_code is None


def test_while_there_is_no_topic_the_bridge_waits_and_says_so(flow: Flow, topics: Topics) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge(**QUICK) as bridge:
        publish(flow, *OLD, number=1)
        topics.wait_until_all_is_read()
        with measured(flow, "the topic deleted, and made anew when the bridge has noticed") as measurement:
            topics.delete()
            bridge.wait_for_log("is gone: it was deleted")
            wait_until(lambda: not partitions_of(bridge), what="the partitions taken away")
            topics.create()
            publish(flow, *NEW["longer"], number=2)
            measurement.over()
            topics.wait_until_all_is_read()
        assert "is there again" in bridge.log
        assert bridge.exit_code is None


@pytest.mark.parametrize("partitions", [2, 7], ids=["fewer", "more"])
def test_with_another_number_of_partitions(flow: Flow, topics: Topics, partitions: int) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge(**QUICK) as bridge:
        publish(flow, *OLD, number=1)
        topics.wait_until_all_is_read()
        flow.delivered |= {number: [] for number in range(partitions)}
        with measured(flow, "the topic made anew with another number of partitions", under=f"4, then {partitions}"):
            topics.make_anew(partitions=partitions)
            publish(flow, *NEW["longer"], number=2)
            topics.wait_until_all_is_read(partitions)
        bridge.wait_for_log(MADE_ANEW)
        assert bridge.exit_code is None


def test_two_bridges_one_of_which_sleeps(flow: Flow, topics: Topics) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge() as one, flow.bridge() as two:
        wait_until_shared(one, two)
        publish(flow, *OLD, number=1)
        topics.wait_until_all_is_read()
        with measured(flow, "the topic made anew", under="two bridges, one of them asleep past its session"):
            one.send(signal.SIGSTOP)
            topics.make_anew()
            publish(flow, *NEW["longer"], number=2)
            topics.wait_until_all_is_read()
            one.send(signal.SIGCONT)
            wait_until_shared(one, two)
            publish(flow, *NEW["longer"], number=3)
            topics.wait_until_all_is_read()
        # What the one that slept has of the old topic makes nobody lose anything later either.
        one.stop()
        two.stop()
        with flow.bridge():
            publish(flow, *OLD, number=4)
            topics.wait_until_all_is_read()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_bridge_gets_partitions_just_when_the_topic_is_made_anew(flow: Flow, topics: Topics, protocol: str) -> None:
    """To read those that come it asks for the topic's id; those that it has must not be taken for the new topic's."""
    flow.by(protocol)
    with celery_worker(flow.environment, *GROUP), flow.bridge() as stays, flow.bridge() as leaves:
        wait_until_shared(stays, leaves)
        publish(flow, *OLD, number=1)
        topics.wait_until_all_is_read()
        with measured(flow, "the topic made anew, a bridge stopped at once", under=protocol):
            topics.make_anew()
            leaves.stop()
            publish(flow, *NEW["longer"], number=2)
            topics.wait_until_all_is_read()
        stays.wait_for_log(MADE_ANEW)
        assert stays.exit_code is None


def test_what_a_release_before_has_committed_is_adopted(flow: Flow, topics: Topics) -> None:
    with celery_worker(flow.environment, *GROUP):
        with flow.bridge():
            publish(flow, *OLD, number=1)
            topics.wait_until_all_is_read()
        before = topics.committed()
        forget_ids(flow, before)
        with flow.bridge() as bridge:
            wait_until(
                lambda: all(str(topics.id()) in text for at, text in topics.committed().values() if at >= 0),
                what="the topic's id in the commits",
            )
            assert {n: at for n, (at, _) in topics.committed().items()} == {n: at for n, (at, _) in before.items()}
            for said in ("goes back", "read from its beginning", "read again"):
                assert said not in bridge.log
        topics.make_anew()
        publish(flow, *NEW["equal"], number=2)
        with flow.bridge() as bridge:
            topics.wait_until_all_is_read()
            bridge.wait_for_log(MADE_ANEW)


def forget_ids(flow: Flow, committed: dict[int, tuple[int, str]]) -> None:
    """Leave commits and markers as a release wrote them that knew of no topic's id."""
    consumer = Consumer(
        {"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"], "group.id": flow.group},
    )
    places = [
        TopicPartition(flow.topic, number, offset, text.partition(".")[0])
        for number, (offset, text) in committed.items()
        if offset >= 0
    ]
    wait_until(lambda: not consumer.commit(offsets=places, asynchronous=False)[0].error, what="the commit")
    consumer.close()
    key = f"lastword:marker:{flow.prefix}"
    for name, stored in flow.cache.hgetall(key).items():
        assert isinstance(stored, bytes)
        marker = Marker.parse(stored)
        assert marker is not None
        flow.cache.hset(key, name, str(marker._replace(identity=marker.identity.partition(".")[0])))


MAXWELL = {
    "database": "shop",
    "table": "products",
    "type": "update",
    "ts": 1_763_800_000,
    "primary_key_columns": ["id"],
}


def publish_rows(flow: Flow, price: int, *ids: int) -> None:
    with Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic) as publisher:
        for number in ids:
            value = MAXWELL | {"data": {"id": number, "price": price}, "old": {"price": price - 1}}
            publisher.publish_record(str(number).encode(), json.dumps(value).encode())


def prices(flow: Flow, *ids: int) -> set[int]:
    return {json.loads(flow.cache.hget(f"{flow.prefix}{n}", "data") or "{}").get("price") for n in ids}


@pytest.mark.parametrize("how", ["running", "stopped"])
def test_where_the_offset_is_the_order_a_partition_pauses_until_the_time_is_listed(
    flow: Flow, topics: Topics, how: str
) -> None:
    ids = range(12)
    flow.environment["LASTWORD_FORMAT"] = "maxwell"
    with celery_worker(flow.environment, *GROUP):
        with ExitStack() as stack:
            sleepy = Sleepy(flow, how, stack)
            for price in (1, 2, 3):
                publish_rows(flow, price, *ids)
            wait_until(lambda: prices(flow, *ids) == {3}, what="the rows")
            flow.wait_until_all_is_committed()
            with sleepy.meanwhile():
                topics.make_anew()
                publish_rows(flow, 4, *ids)
            sleepy.bridge.wait_for_log("ordered by their offsets")
            numbers = [number for number, end in topics.ends().items() if end]
            for number in numbers:
                sleepy.bridge.wait_for_log(
                    f"partition {number} is paused until this bridge is started again: the topic"
                )
            times = re.findall(r"Add (\S+) to LASTWORD_POSITIONS_ANEW", sleepy.bridge.log)
        assert prices(flow, *ids) == {3}
        assert all(topics.committed()[number][0] <= 0 for number in numbers), "nothing of it is passed over"
        with flow.bridge(LASTWORD_POSITIONS_ANEW=min(times)) as bridge:
            wait_until(lambda: prices(flow, *ids) == {4}, what="the rows of the new topic")
            flow.wait_until_all_is_committed()
            assert "is paused until" not in bridge.log
        with flow.bridge(LASTWORD_POSITIONS_ANEW=min(times)) as bridge:
            publish_rows(flow, 5, *ids)
            wait_until(lambda: prices(flow, *ids) == {5}, what="what comes later")


def test_the_dead_letter_topic_made_anew(flow: Flow, topics: Topics) -> None:
    def publish_rubbish() -> None:
        with Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic) as publisher:
            publisher.publish_record(b"p0", b"rubbish")

    letters = f"{flow.topic}-dlt"
    with celery_worker(flow.environment, *GROUP), flow.bridge() as bridge:
        publish_rubbish()
        publish(flow, *OLD, number=1)
        wait_until(lambda: count_letters(flow) == 1, what="the letter")
        topics.wait_until_all_is_read()
        with measured(flow, "the dead-letter topic made anew") as measurement:
            topics.administrator.delete(letters)
            publish_rubbish()
            publish(flow, *OLD, number=2)
            bridge.wait_for_log("a dead letter cannot be delivered")
            topics.administrator.create(letters)
            measurement.over()
            wait_until(lambda: count_letters(flow) == 1, what="the letter, in the new topic")
            topics.wait_until_all_is_read()
        assert bridge.exit_code is None


@pytest.mark.parametrize("how", ["asleep", "stopped"])
def test_records_that_are_deleted_before_they_are_read_are_named(flow: Flow, topics: Topics, how: str) -> None:
    with celery_worker(flow.environment, *GROUP), ExitStack() as stack:
        sleepy = Sleepy(flow, how, stack)
        publish(flow, *OLD, number=1)
        topics.wait_until_all_is_read()
        read = topics.ends()
        with sleepy.meanwhile():
            publish(flow, *OLD, number=2)
            publish(flow, *OLD, number=3)
            gone = topics.ends()
            topics.administrator.delete_records(flow.topic, gone)
            publish(flow, *OLD, number=4)
        topics.wait_until_all_is_read()
        if how == "stopped":  # one that is asleep had fetched some of them
            for number, first in read.items():
                sleepy.bridge.wait_for_log(
                    f"partition {number}: what was at offsets {first} to {gone[number] - 1} is gone from the topic"
                )
        assert "made anew" not in sleepy.bridge.log


def test_an_offset_behind_the_end_is_said_to_be_one(flow: Flow, topics: Topics) -> None:
    with celery_worker(flow.environment, *GROUP):
        with flow.bridge():
            publish(flow, *OLD, number=1)
            topics.wait_until_all_is_read()
        consumer = Consumer(
            {"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"], "group.id": flow.group},
        )
        consumer.commit(offsets=[TopicPartition(flow.topic, 0, 1_000)], asynchronous=False)
        consumer.close()
        with flow.bridge() as bridge:
            bridge.wait_for_log(
                f"partition 0 goes back from offset 1000 to 0: the partition ends at {topics.ends()[0]}"
            )
            publish(flow, *OLD, number=2)
            topics.wait_until_all_is_read()
            assert "deleted and made anew" not in bridge.log
