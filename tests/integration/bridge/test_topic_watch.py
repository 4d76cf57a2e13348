"""A topic's id on a real Kafka, and what is noticed when it changes."""

import time

import pytest
from confluent_kafka import Consumer, TopicPartition

from bridge.topic.watch import CHECK_EVERY_S, TopicWatch
from lastword.kafka.client import NotAnsweredError
from lastword.kafka.group import read_group
from lastword.kafka.topic_ids import MissingError, TopicIds
from servers import Reachable
from tests.faults.kafka.topics import Administrator
from tests.kafka_helpers import committed, numbered, produce
from tests.waiting import wait_until


def notices(watch: TopicWatch) -> bool:
    return watch.is_another(time.monotonic())


@pytest.mark.core
def test_a_topic_that_is_made_anew_is_noticed_and_believed_when_it_has_settled(
    kafka_server: Reachable, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    administrator = Administrator(kafka_server.address)
    watch = TopicWatch(TopicIds({"bootstrap.servers": kafka_server.address}, topic))
    with pytest.raises(MissingError, match="there is no topic"):
        watch.id()
    administrator.create(topic)
    before = watch.id()
    assert before == administrator.id(topic)
    assert not watch.is_another(time.monotonic()), "asked, and not waited for"

    administrator.delete(topic)
    wait_until(lambda: notices(watch) or "is gone: it was deleted" in caplog.text, what="the deletion")
    administrator.create(topic)
    wait_until(lambda: notices(watch), what="another topic")
    with pytest.raises(NotAnsweredError, match="was made anew just now"):
        watch.id()

    def settled() -> str:
        try:
            return watch.id()
        except NotAnsweredError:
            return ""

    assert wait_until(settled, what="the new id") == administrator.id(topic) != before
    assert "is there again" in caplog.text
    later = time.monotonic() + CHECK_EVERY_S
    assert not watch.is_another(later)


def test_a_kafka_that_does_not_answer_is_no_other_topic(topic: str, caplog: pytest.LogCaptureFixture) -> None:
    ids = TopicIds({"bootstrap.servers": "127.0.0.1:1"}, topic)
    with pytest.raises(NotAnsweredError):
        ids.end(ids.begin(), 0.1)
    assert not caplog.records, "what librdkafka says of this connection it says of the consumer's too"


def test_what_is_committed_of_the_topic_before_is_nothing_to_the_commands(
    kafka_server: Reachable, topic: str, group: str
) -> None:
    administrator = Administrator(kafka_server.address)
    properties: dict[str, str | int | bool] = {"bootstrap.servers": kafka_server.address}

    def commit(metadata: str) -> None:
        consumer = Consumer({**properties, "group.id": group})
        consumer.commit(offsets=[TopicPartition(topic, 0, 3, metadata)], asynchronous=False)
        consumer.close()

    administrator.create(topic)
    produce(kafka_server.address, topic, numbered(5))
    of_topic = f"0f.{administrator.id(topic)}.0.0"
    for metadata in ("", "0f", of_topic):
        commit(metadata)
        progress = read_group(properties, topic, group).progress[0]
        assert (progress.committed, progress.next) == (3, 3)

    administrator.delete(topic)
    administrator.create(topic)
    produce(kafka_server.address, topic, numbered(5))
    wait_until(lambda: committed(kafka_server.address, group, topic)[0] < 0, what="Kafka to forget the offset")
    commit(of_topic)  # by a bridge that has not noticed yet
    progress = read_group(properties, topic, group).progress[0]
    assert (progress.committed, progress.lag, progress.next) == (None, 5, 0)
