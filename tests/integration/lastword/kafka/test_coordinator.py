"""Questions about a group whose coordinator is away: of a Kafka that says so, and of one that has just started."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from examples.names import remove_group
from lastword.kafka import coordinator
from lastword.kafka.group import read_group
from servers import Kafka
from tests.kafka_helpers import create_topic
from tests.kafka_mock import OFFSET_FETCH, MockKafka, mock_kafka

AWAY = [KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS]


@pytest.fixture
def mock() -> Iterator[MockKafka]:
    with mock_kafka() as kafka:
        kafka.create_topic("any")
        yield kafka


@pytest.fixture
def consumer(mock: MockKafka) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": mock.address, "group.id": "test"})
    yield consumer
    consumer.close()


def test_the_client_does_not_ask_again_itself(mock: MockKafka, consumer: Consumer) -> None:
    """Should it do so one day, our own asking is of no use any more."""
    mock.answer(OFFSET_FETCH, KafkaError.NOT_COORDINATOR)
    with pytest.raises(KafkaException) as raised:
        consumer.committed([TopicPartition("any", 0)], timeout=30)
    assert coordinator.is_away(raised.value)


@pytest.mark.parametrize("code", AWAY)
def test_committed_offsets_are_asked_for_until_somebody_answers(mock: MockKafka, consumer: Consumer, code: int) -> None:
    mock.answer(OFFSET_FETCH, *[code] * 5)
    [found] = coordinator.committed(consumer, [TopicPartition("any", 0)], timeout_s=60)
    assert found.error is None
    assert found.offset < 0


def test_a_kafka_that_has_just_started_is_asked_about_groups(tmp_path: Path) -> None:
    """Its first question about any group makes it create the topic of all offsets: until then nobody answers."""
    with Kafka(tmp_path / "kafka") as kafka:
        properties: dict[str, str | int | bool] = {"bootstrap.servers": kafka.address}
        remove_group(AdminClient({"bootstrap.servers": kafka.address}), "no group yet")
        create_topic(kafka.address, "topic")
        kafka.restart()
        consumer = Consumer({**properties, "group.id": "some"})
        assert coordinator.committed(consumer, [TopicPartition("topic", 0)], timeout_s=60)[0].offset < 0
        coordinator.ask(lambda: consumer.commit(offsets=[TopicPartition("topic", 0, 0)], asynchronous=False))
        kafka.kill()
        kafka.start()
        assert read_group(properties, "topic", "some").progress[0].committed == 0
        consumer.close()
