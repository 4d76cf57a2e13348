"""The topics at the start: there, or created where that was asked for."""

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

CALL_TIMEOUT_S = 5.0


class MissingTopicError(Exception):
    """A topic is not there, and nobody asked the bridge to create it."""


def reach_kafka(properties: Mapping[str, str | int | bool], topics: Sequence[str], *, create: int | None) -> None:
    """Return when Kafka answers and has the topics; those it lacks are made with ``create`` partitions, if given.

    Raises:
        ConnectionError: Kafka does not answer.
        MissingTopicError: a topic is missing and ``create`` is None.
    """
    # librdkafka would say on standard error, again and again, what is said here once.
    admin = AdminClient({**properties, "log_level": 0})
    try:
        missing = [topic for topic in topics if topic not in admin.list_topics(timeout=CALL_TIMEOUT_S).topics]
        if missing and create is None:
            names = " and ".join(repr(topic) for topic in missing)
            raise MissingTopicError(
                f"no topic {names} in Kafka at {properties['bootstrap.servers']}: create it, or let the bridge do so "
                "with --create-topics (LASTWORD_CREATE_TOPICS=true)"
            )
        for topic in missing:
            _create(admin, topic, create or 1)
    except KafkaException as error:
        raise ConnectionError(error.args[0].str()) from error


def _create(admin: AdminClient, topic: str, partitions: int) -> None:
    future = admin.create_topics([NewTopic(topic, num_partitions=partitions)])[topic]
    try:
        future.result(timeout=CALL_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
