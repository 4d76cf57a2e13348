"""Kafka at the start: reached, its topics there or created where that was asked for, and the permissions ours."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # are public, not marked
    AclOperation,
    AdminClient,
    ConfigResource,
    TopicDescription,
)
from confluent_kafka.cimpl import NewTopic

from lastword.kafka.client import CALL_TIMEOUT_S
from lastword.kafka.connection_trouble import Ear
from lastword.kafka.refusal import TOPIC_FORBIDDEN, Properties, forbidden, refusal
from lastword.settings.shared import SettingsError

LISTEN_EVERY_S: Final = 0.2
LISTEN_AT_LEAST_S: Final = 0.5  # a host with two addresses, the first of which nobody listens on, needs it
CHECK_AGAIN_S: Final = 0.05

MISSING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION})

T = TypeVar("T")


class MissingTopicError(Exception):
    """A topic is not there, and nobody asked the bridge to create it."""


class TopicCheck:
    """One try to find everything as it must be; not to be used again."""

    def __init__(self, properties: Properties) -> None:
        self._properties = properties
        self._ear = Ear()
        self._admin = AdminClient(dict(properties), error_cb=self._ear.errors.append, logger=self._ear.logger)

    def missing(self, topics: Mapping[str, str]) -> list[str]:
        """Return the topics that are missing; each comes with the operation that must be allowed there.

        Raises:
            ConnectionError: Kafka does not answer.
            KafkaRefusedError: a wrong password, or an operation is not allowed.
        """
        futures = self._admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=CALL_TIMEOUT_S, include_authorized_operations=True
        )
        missing = []
        for topic, future in futures.items():
            try:
                description: TopicDescription = self._answer(future)
            except KafkaException as error:
                if error.args[0].code() in MISSING:
                    missing.append(topic)
                    continue
                if error.args[0].code() in TOPIC_FORBIDDEN:
                    raise forbidden(topics[topic], f"topic {topic!r}", self._properties) from error
                raise ConnectionError(f"topic {topic!r}: {error.args[0].str()}") from error
            self._need(topics[topic], f"topic {topic!r}", description.authorized_operations)
        return missing

    def check_group(self, group: str) -> None:
        """Check that the consumer group may be used; KafkaRefusedError where not."""
        future = self._admin.describe_consumer_groups(
            [group], request_timeout=CALL_TIMEOUT_S, include_authorized_operations=True
        )[group]
        try:
            allowed = self._answer(future).authorized_operations
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                raise forbidden("read", f"consumer group {group!r}", self._properties) from error
            return  # A coordinator that is not ready yet: the consumer waits for it.
        self._need("read", f"consumer group {group!r}", allowed)

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic, unless somebody else was faster; ConnectionError or KafkaRefusedError when it cannot be."""
        new = NewTopic(topic, num_partitions=partitions)
        try:
            self._answer(self._admin.create_topics([new], request_timeout=CALL_TIMEOUT_S)[topic])
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() in TOPIC_FORBIDDEN:
                raise forbidden("create", f"topic {topic!r}", self._properties) from error
            if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise ConnectionError(f"topic {topic!r} cannot be created: {reason.str()}") from error

    def configuration(self, topic: str) -> dict[str, str]:
        """Return a topic's configuration; ConnectionError or KafkaRefusedError when it cannot be had."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        try:
            entries = self._answer(self._admin.describe_configs([resource], request_timeout=CALL_TIMEOUT_S)[resource])
        except KafkaException as error:
            if error.args[0].code() in TOPIC_FORBIDDEN:
                raise forbidden("describe_configs", f"of topic {topic!r}", self._properties) from error
            raise ConnectionError(error.args[0].str()) from error
        return {name: entry.value for name, entry in entries.items()}

    def _answer(self, future: Future[T]) -> T:
        """Wait in short steps: a call does not hear what is wrong with the connection, nor Ctrl-C, before it ends."""
        begin = time.monotonic()
        while not future.done():
            wait([future], LISTEN_EVERY_S)
            self._admin.poll(0)
            waited_s = time.monotonic() - begin
            if self._ear.refused is not None:
                raise refusal("the connection", self._ear.refused, self._properties)
            if waited_s >= CALL_TIMEOUT_S or (self._ear.all_brokers_down and waited_s >= LISTEN_AT_LEAST_S):
                raise ConnectionError(self._ear.reason(KafkaError(KafkaError._TIMED_OUT), self._properties))  # noqa: SLF001
        try:
            return future.result()
        except KafkaException as error:
            if error.args[0].code() in {KafkaError._TIMED_OUT, KafkaError._TRANSPORT}:  # noqa: SLF001
                raise ConnectionError(self._ear.reason(error.args[0], self._properties)) from error
            raise

    def _need(self, operation: str, where: str, allowed: Sequence[object] | None) -> None:
        # Brokers before 2.3 do not tell what is allowed.
        if allowed is not None and AclOperation[operation.upper()] not in allowed:
            raise forbidden(operation, where, self._properties)


def reach_kafka(
    properties: Properties,
    *,
    read: Sequence[str] = (),
    write: Sequence[str] = (),
    group: str | None = None,
    create: int = 0,
) -> None:
    """Return when Kafka answers, has the topics and lets us use them; with ``create``, missing ones are made.

    ``create``: with how many partitions; 0: none is made.

    Raises:
        ConnectionError: Kafka does not answer.
        KafkaRefusedError: a wrong password, or no permission.
        MissingTopicError: a topic is missing and ``create`` is 0.
    """
    topics = {**dict.fromkeys(read, "read"), **dict.fromkeys(write, "write")}
    check = TopicCheck(properties)
    missing = check.missing(topics)
    if missing and not create:
        names = " and ".join(repr(topic) for topic in missing)
        raise MissingTopicError(
            f"no topic {names} in Kafka at {properties['bootstrap.servers']}: create it, or let the bridge do so "
            "with --create-topics (LASTWORD_CREATE_TOPICS=8)"
        )
    for topic in missing:
        check.create(topic, create)
    end = time.monotonic() + CALL_TIMEOUT_S
    while missing and check.missing({topic: topics[topic] for topic in missing}):
        # Made by the controller, and not yet known to the broker that was asked.
        if time.monotonic() >= end:
            raise ConnectionError("the topics are made, and do not appear")
        time.sleep(CHECK_AGAIN_S)
    if group is not None:
        check.check_group(group)


def refuse_early_expiry(properties: Properties, topic: str, horizon_s: int) -> None:
    """Check, where keys expire, that no record of the topic can still arrive after its version is forgotten.

    Raises:
        SettingsError: the topic keeps records for longer than the replay horizon, or for ever.
        ConnectionError: Kafka does not answer.
        KafkaRefusedError: a wrong password, or no permission.
    """
    configuration = TopicCheck(properties).configuration(topic)
    retention_s = int(configuration["retention.ms"]) / 1_000
    if "compact" in configuration["cleanup.policy"] or retention_s < 0:
        raise SettingsError(
            f"settings LASTWORD_TTL_S, LASTWORD_TOMBSTONE_TTL_S: topic {topic!r} keeps records for ever (compacted, or "
            "without a time limit), so an old one may arrive at any time; leave both unset"
        )
    if retention_s > horizon_s:
        raise SettingsError(
            f"setting LASTWORD_REPLAY_HORIZON_S: given {horizon_s}; topic {topic!r} keeps records for "
            f"{math.ceil(retention_s)} s, it should be at least that"
        )
