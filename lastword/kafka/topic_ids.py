"""A topic's id, by which it is told from one of the same name that was made anew.

Source: docs/decisions/0025-a-topic-has-an-id.md
"""

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined]  # are public, not marked

from lastword.kafka.client import CALL_TIMEOUT_S, NotAnsweredError
from lastword.kafka.connection_trouble import Ear
from lastword.kafka.refusal import Properties
from lastword.kafka.topics import MISSING

FAILURES_MAX: Final = 5
"""After so many in a row another client takes its place: this one may have forgotten every broker."""

NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
"""What a Kafka broker before 2.8 says."""


class MissingError(NotAnsweredError):
    """There is no such topic now."""


class TopicIds:
    """Asks Kafka for a topic's id, "" where it does not tell one; one client, as long as it gets answers."""

    def __init__(self, properties: Properties, topic: str) -> None:
        self.topic = topic
        self._properties = properties
        self._admin: AdminClient | None = None
        self._failures = 0

    def begin(self) -> "Future[TopicDescription]":
        """Ask, without waiting for the answer."""
        if self._admin is None:
            ear = Ear()  # what librdkafka says here it says of the consumer's own connections too
            self._admin = AdminClient(dict(self._properties), error_cb=lambda _: None, logger=ear.logger)
        self._admin.poll(0)
        asked = TopicCollection([self.topic])
        return self._admin.describe_topics(asked, request_timeout=CALL_TIMEOUT_S)[self.topic]

    def end(self, future: "Future[TopicDescription]", wait_s: float = 0.0) -> str:
        """The answer, after at most ``wait_s``.

        Raises:
            MissingError: there is no such topic.
            NotAnsweredError: it is not known what there is.
        """
        try:
            topic_id = str(future.result(wait_s).topic_id)
        except KafkaException as error:
            if error.args[0].code() in MISSING:
                raise MissingError(f"there is no topic {self.topic!r}") from error
            raise self._failed(error.args[0].str()) from error
        except FutureTimeoutError as error:
            raise self._failed("no answer") from error
        self._failures = 0
        return "" if topic_id == NO_ID else topic_id

    def _failed(self, why: str) -> NotAnsweredError:
        self._failures += 1
        if self._failures >= FAILURES_MAX:
            self._admin, self._failures = None, 0
        return NotAnsweredError(f"topic {self.topic!r}: {why}")
