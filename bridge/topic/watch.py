"""Whether the topic is still the one that was there: librdkafka goes on at its old position in one that was made anew.

Source: docs/decisions/0025-a-topic-has-an-id.md
"""

import logging
import time
from concurrent.futures import Future
from typing import Final

from confluent_kafka.admin import TopicDescription  # type: ignore[attr-defined]  # are public, not marked

from lastword.kafka.client import CALL_TIMEOUT_S, NotAnsweredError
from lastword.kafka.topic_ids import MissingError, TopicIds

logger = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 2.0
SETTLE_S: Final = 1.0
"""For so long another id must be told: of several Kafka brokers one may still know the topic that was before."""

COMPLAIN_EVERY_S: Final = 60.0


class TopicWatch:
    """Notices within seconds that the topic was made anew, or is ``missing``; waits for nothing except in ``id``."""

    def __init__(self, ids: TopicIds) -> None:
        self._ids = ids
        self._known: str | None = None
        self._other = ""
        self._other_since = 0.0
        self._asked: Future[TopicDescription] | None = None
        self._next = 0.0
        self.missing = False
        self._next_complaint = 0.0
        self._unknown = False

    def id(self) -> str:
        """Ask for the topic's id now, and know it from then on.

        Raises:
            NotAnsweredError: there is no topic, it is not known what there is, or another id has only just been told.
        """
        self._asked = None  # an answer that is under way is older than this one
        topic_id = self._noted(self._ids.end(self._ids.begin(), CALL_TIMEOUT_S))
        if self._is_another(topic_id):
            now = time.monotonic()
            if topic_id != self._other:
                self._other, self._other_since = topic_id, now
            if now < self._other_since + SETTLE_S:
                raise NotAnsweredError(f"topic {self._ids.topic!r} was made anew just now")
        self._known, self._other = topic_id or self._known or "", ""
        return topic_id

    def is_another(self, now: float) -> bool:
        """Whether the topic is another than the one whose ``id`` was asked for last, as far as that is known."""
        if self._asked is None:
            if self._known and now >= self._next:
                self._next = now + CHECK_EVERY_S
                self._asked = self._ids.begin()
            return False
        if not self._asked.done():
            return False
        asked, self._asked = self._asked, None
        try:
            topic_id = self._noted(self._ids.end(asked))
        except MissingError:
            self._miss(now)
            return False
        except NotAnsweredError as error:
            if not self._unknown:
                logger.info("not known whether the topic is still the same: %s", error)
            self._unknown = True
            return False
        return self._is_another(topic_id)

    def _is_another(self, topic_id: str) -> bool:
        return bool(topic_id and self._known and topic_id != self._known)

    def _noted(self, topic_id: str) -> str:
        if self.missing:
            logger.warning("topic %r is there again", self._ids.topic)
        self.missing, self._next_complaint, self._unknown = False, 0.0, False
        return topic_id

    def _miss(self, now: float) -> None:
        self.missing = True
        if now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_EVERY_S
            logger.error(
                "topic %r is gone: it was deleted. The bridge waits until it is made anew, and reads all of it then",
                self._ids.topic,
            )
