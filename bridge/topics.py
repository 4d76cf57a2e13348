"""The topics at the start: there, or created where that was asked for."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # is public, not marked
from confluent_kafka.cimpl import NewTopic

from tasks.settings import SettingsError

CALL_TIMEOUT_S: Final = 5.0
LISTEN_EVERY_S: Final = 0.2
LOOK_AGAIN_S: Final = 0.05

HOPELESS: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION})  # noqa: SLF001
"""What librdkafka reports when this client will not get an answer by waiting longer."""


class MissingTopicError(Exception):
    """A topic is not there, and nobody asked the bridge to create it."""


def reach_kafka(properties: Mapping[str, str | int | bool], topics: Sequence[str], *, create: int | None) -> None:
    """Return when Kafka answers and has the topics; those it lacks are made with ``create`` partitions, if given.

    Raises:
        ConnectionError: Kafka does not answer.
        MissingTopicError: a topic is missing and ``create`` is None.
    """
    heard: list[KafkaError] = []
    # librdkafka would say on standard error, again and again, what is said here once.
    admin = AdminClient({**properties, "log_level": 0}, error_cb=heard.append)
    there = _topics(admin, heard)
    missing = [topic for topic in topics if topic not in there]
    if missing and create is None:
        names = " and ".join(repr(topic) for topic in missing)
        raise MissingTopicError(
            f"no topic {names} in Kafka at {properties['bootstrap.servers']}: create it, or let the bridge do so "
            "with --create-topics (LASTWORD_CREATE_TOPICS=true)"
        )
    for topic in missing:
        _create(admin, topic, create or 1)
    end = time.monotonic() + CALL_TIMEOUT_S
    while not _topics(admin, heard).issuperset(missing):
        # Made by the controller, and not yet known to the broker that was asked.
        if time.monotonic() >= end:
            raise ConnectionError("the topics are made, and do not appear")
        time.sleep(LOOK_AGAIN_S)


def _topics(admin: AdminClient, heard: list[KafkaError]) -> set[str]:
    """Ask in short calls: a call does not hear what is wrong with the connection, nor Ctrl-C, before it ends."""
    end = time.monotonic() + CALL_TIMEOUT_S
    while True:
        try:
            return set(admin.list_topics(timeout=LISTEN_EVERY_S).topics)
        except KafkaException as error:
            admin.poll(0)
            if time.monotonic() >= end or any(one.code() in HOPELESS for one in heard):
                # The first is the most telling one: a connection refused, a name unknown, a password wrong.
                reason = heard[0] if heard else error.args[0]
                raise ConnectionError(reason.str()) from error


def _create(admin: AdminClient, topic: str, partitions: int) -> None:
    future = admin.create_topics([NewTopic(topic, num_partitions=partitions)], request_timeout=CALL_TIMEOUT_S)[topic]
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise ConnectionError(f"topic {topic!r} cannot be created: {error.args[0].str()}") from error


def refuse_early_expiry(properties: Mapping[str, str | int | bool], topic: str, horizon_s: int) -> None:
    """Check, where keys expire, that no record of the topic can still arrive after its version is forgotten.

    Raises:
        SettingsError: the topic keeps records for longer than the replay horizon, or for ever.
        ConnectionError: Kafka does not answer.
    """
    admin = AdminClient({**properties, "log_level": 0})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        found = admin.describe_configs([resource], request_timeout=CALL_TIMEOUT_S)[resource].result()
    except KafkaException as error:
        raise ConnectionError(error.args[0].str()) from error
    retention_s = int(found["retention.ms"].value) / 1_000
    if "compact" in found["cleanup.policy"].value or retention_s < 0:
        raise SettingsError(
            f"settings LASTWORD_TTL_S, LASTWORD_TOMBSTONE_TTL_S: topic {topic!r} keeps records for ever (compacted, or "
            "without a time limit), so an old one may arrive at any time; leave both unset"
        )
    if retention_s > horizon_s:
        raise SettingsError(
            f"setting LASTWORD_REPLAY_HORIZON_S: given {horizon_s}; topic {topic!r} keeps records for "
            f"{math.ceil(retention_s)} s, it should be at least that"
        )
