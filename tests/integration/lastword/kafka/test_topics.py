"""The topics at the start, on a real Kafka: missing, made, made by two at once, unreachable."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from lastword.kafka.topics import MissingTopicError, reach_kafka, refuse_early_expiry
from lastword.settings.shared import SettingsError
from servers import Kafka, Reachable
from servers.ports import free_port
from tests.kafka_helpers import at_most

pytestmark = pytest.mark.core


def partitions(kafka: Reachable, topic: str) -> int:
    return len(AdminClient({"bootstrap.servers": kafka.address}).list_topics(timeout=60).topics[topic].partitions)


def test_missing_topics_are_named_all_at_once_and_not_created(kafka_server: Reachable, topic: str) -> None:
    properties: dict[str, str | int | bool] = {"bootstrap.servers": kafka_server.address}
    letters = f"{topic}-dlt"

    with pytest.raises(MissingTopicError) as missing:
        reach_kafka(properties, read=[topic, letters])

    for said in (repr(topic), repr(letters), kafka_server.address, "--create-topics", "LASTWORD_CREATE_TOPICS"):
        assert said in str(missing.value)
    assert topic not in AdminClient({"bootstrap.servers": kafka_server.address}).list_topics(timeout=60).topics


def test_missing_topics_are_made_and_existing_ones_left_alone(kafka_server: Reachable, topic: str) -> None:
    properties: dict[str, str | int | bool] = {"bootstrap.servers": kafka_server.address}
    letters = f"{topic}-dlt"

    reach_kafka(properties, read=[topic], create=3)
    reach_kafka(properties, read=[topic, letters], create=5)
    reach_kafka(properties, read=[topic, letters])

    assert (partitions(kafka_server, topic), partitions(kafka_server, letters)) == (3, 5)


def test_several_may_make_the_topics_at_the_same_time(kafka_server: Reachable, topic: str) -> None:
    properties: dict[str, str | int | bool] = {"bootstrap.servers": kafka_server.address}
    topics = [f"{topic}-{number}" for number in range(4)]

    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(reach_kafka, properties, read=topics, create=2) for _ in range(4)]
        for one in made:
            one.result(timeout=120)

    assert [partitions(kafka_server, one) for one in topics] == [2] * 4


def test_a_topic_that_kafka_refuses_to_make_is_named(kafka_server: Reachable) -> None:
    with pytest.raises(ConnectionError, match=r"topic '\.\.' cannot be created"):
        reach_kafka({"bootstrap.servers": kafka_server.address}, read=[".."], create=1)


def test_a_kafka_that_is_not_there_is_an_error_with_a_reason_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lastword.kafka.topics.CALL_TIMEOUT_S", 600.0)
    address = f"127.0.0.1:{free_port()}"
    with at_most(60, "noticing that nobody listens"), pytest.raises(ConnectionError, match="Connection refused"):
        reach_kafka({"bootstrap.servers": address}, read=["t"])


def test_a_kafka_that_does_not_answer_is_an_error_within_the_calls_timeout(
    own_kafka: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lastword.kafka.topics.CALL_TIMEOUT_S", 1.0)
    own_kafka.pause()
    try:
        with at_most(60, "a call of a frozen Kafka"), pytest.raises(ConnectionError):
            reach_kafka({"bootstrap.servers": own_kafka.address}, read=[topic])
    finally:
        own_kafka.resume()


@pytest.mark.parametrize(
    ("configuration", "refusal"),
    [
        ({"retention.ms": "-1"}, "keeps records for ever"),
        ({"cleanup.policy": "compact"}, "keeps records for ever"),
        ({"retention.ms": "3600001"}, "LASTWORD_REPLAY_HORIZON_S: given 3600; .* 3601 s"),
        ({"retention.ms": "3600000"}, None),
    ],
)
def test_keys_may_expire_only_when_no_old_record_can_arrive(
    kafka_server: Reachable, topic: str, configuration: dict[str, str], refusal: str | None
) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_server.address})
    admin.create_topics([NewTopic(topic, num_partitions=1, config=configuration)])[topic].result(timeout=120)
    expected = pytest.raises(SettingsError, match=refusal) if refusal else nullcontext()
    with expected:
        refuse_early_expiry({"bootstrap.servers": kafka_server.address}, topic, 3_600)
