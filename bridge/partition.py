"""All that a bridge knows of a partition that it reads: made at the assignment, dropped whole at the revocation.

Only the records in flight are in the window, which has no need of the rest.
"""

import logging
from collections import deque
from typing import Final, NamedTuple

from confluent_kafka import Message

from bridge.letters.undecodable import Undecodable
from bridge.topic.origins import Connectors
from bridge.topic.positions import Positions
from bridge.topic.repeated import why_repeated
from bridge.topic.sequel import Sequel
from bridge.topic.settling import Settling
from lastword.contract.record import InvalidUpdateError, Rules, Update
from lastword.formats.decoding import decode, record_of
from lastword.formats.origin import NOWHERE, Origin, origin_of
from lastword.kafka.headers import headers_of, size_of, timestamp_of
from lastword.kafka.identity import Identity

logger = logging.getLogger(__name__)

UNDECODABLE_MAX: Final = 100
COMPLAIN_EVERY_S: Final = 60.0


class Arrived(NamedTuple):
    """A record with the updates in it, or the reason why it has none; its size in memory in bytes; its row's origin."""

    message: Message
    size: int
    updates: list[Update]
    error: InvalidUpdateError | None = None
    origin: Origin = NOWHERE

    @classmethod
    def read(cls, message: Message, rules: Rules) -> "Arrived":
        """Read a record by the rules of its format."""
        headers: list[tuple[str, bytes | None]] = []
        try:
            headers = headers_of(message)
            record = record_of(message, headers)
            updates = decode(record, rules)
        except InvalidUpdateError as error:
            return cls(message, size_of(message, headers), [], error)
        origin = origin_of(record, rules) if updates else NOWHERE
        return cls(message, size_of(message, headers), updates, origin=origin)


class Partition:
    """One partition, from its assignment to its revocation.

    ``inbox``: what waits for room in the window; ``end``: where it ends, once all before that was delivered.
    ``checked``: it is certain from where it is to be read, so that it may flow; ``displaced``: it is to be read from
    elsewhere than librdkafka would; ``nothing_at``: the offset at which it had nothing any more. ``identity`` is that
    of its marker in Redis, ``committable`` the offset to be noted there and committed. ``stopped``: why nothing of it
    is taken in any more.
    """

    def __init__(self, number: int, undecodable_max: int = UNDECODABLE_MAX) -> None:
        self.number = number
        self.settling = Settling()
        self.sequel = Sequel(number)
        self.inbox: deque[Arrived] = deque()
        self.end: int | None = None
        self.checked = False
        self.displaced = False
        self.nothing_at: int | None = None
        self.identity = ""
        self._least = 0
        self.committable: int | None = None
        self.undecodable = Undecodable(undecodable_max)
        self.positions = Positions()
        self.connectors = Connectors()
        self.stopped = ""
        self._next_complaint = 0.0

    def begin(self, identity: str) -> None:
        """Let it flow, with this identity of its marker, and forget what was fetched before: that is read again."""
        self.identity, self._least = identity, Identity.parse(identity).least
        self.checked, self.displaced, self.nothing_at = True, False, None
        self._forget_fetched()

    def start_over(self) -> None:
        """Forget what was read of it: it is to be checked, and read from elsewhere."""
        self._forget_fetched()
        self.checked, self.displaced = False, True
        self.committable = None
        self.undecodable.begin()
        self.stopped, self._next_complaint = "", 0.0

    def _forget_fetched(self) -> None:
        self.inbox.clear()
        self.end = None

    def follows(self, arrived: Arrived) -> bool:
        """Whether a record's changes may follow those before it; the partition is stopped where they may not."""
        if not self.stopped and arrived.updates:
            offset, timestamp_ms = arrived.message.offset() or 0, timestamp_of(arrived.message)
            self.stopped = (
                self.connectors.why_stop(arrived.origin)
                or self.positions.why_stop(arrived.updates, timestamp_ms)
                or why_repeated(arrived.updates, offset, timestamp_ms, least=self._least)
            )
        return not self.stopped

    def complain(self, now: float) -> None:
        """Say now and then why the partition is stopped."""
        if self.stopped and now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_EVERY_S
            logger.error("partition %d is paused until this bridge is started again: %s", self.number, self.stopped)


Partitions = dict[int, Partition]
"""Those that are assigned, by number."""
