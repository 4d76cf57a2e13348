"""What every client of Kafka needs, whatever it is for."""

import math
from typing import Final

import msgspec

STATISTICS_MS: Final = 2_000
WITHOUT: Final = 3  # statistics in a row

CLIENT_DEFAULTS: Final[dict[str, str | int | bool]] = {
    # librdkafka's own default makes it try, and complain, twenty times a second while no broker is there.
    "reconnect.backoff.ms": 1_000,
    # A partition that was added is unknown for so long; librdkafka's own default is five minutes.
    "topic.metadata.refresh.interval.ms": 10_000,
}

CONSUMER_DEFAULTS: Final[dict[str, str | int | bool]] = {
    **CLIENT_DEFAULTS,
    "partition.assignment.strategy": "cooperative-sticky",
    "auto.commit.interval.ms": 1_000,
    "queued.min.messages": 2_000,
    "queued.max.messages.kbytes": 8_192,
    # With a queue that was full once, librdkafka would fetch nothing for a second.
    "fetch.queue.backoff.ms": 10,
    # For so long a partition that is resumed waits while the others have nothing new.
    "fetch.wait.max.ms": 50,
    "allow.auto.create.topics": False,
}

CONSUMER_GUARANTEES: Final[dict[str, str | int | bool]] = {
    # Only what is stored is ever committed, and only what is confirmed is stored.
    "enable.auto.offset.store": False,
    "enable.auto.commit": True,
    # librdkafka's own default, "largest", skips what a group without offsets has not read.
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    # Aborted records and transactions' markers are never delivered: a partition's end tells that they are passed.
    "enable.partition.eof": True,
}

CALL_TIMEOUT_S: Final = 5.0


class NotAnsweredError(Exception):
    """Kafka did not answer in time, or with an error, and is to be asked again."""


class BrokerList:
    """Notices from a client's statistics that it is of no use any more: another must take its place.

    ``forgotten``: librdkafka drops the brokers that an answer does not name. A Kafka that has stood still, or has lost
    its quorum, may for a moment name none; then nobody is left to be asked, and now and then its bootstrap servers are
    not added again. Source: https://github.com/confluentinc/librdkafka/issues/5301

    ``left_out``: a consumer that could reach a broker, and for ``join_max_s`` has no partitions and no place in its
    group: it was about to join when the coordinator began anew, and waits for ever for an answer to that.
    """

    def __init__(self, *, join_max_s: float = math.inf) -> None:
        self._without = 0
        self._outside = 0
        self._join_max_s = join_max_s

    def properties(self) -> dict[str, object]:
        """What the client has to be given besides."""
        return {"statistics.interval.ms": STATISTICS_MS, "stats_cb": self.hear}

    def hear(self, statistics: str) -> None:
        """Take in what the client says of itself now."""
        told = msgspec.json.decode(statistics, type=_Statistics)
        known = [broker for broker in told.brokers.values() if broker.source in ("learned", "configured")]
        self._without = 0 if known else self._without + 1
        # INIT: not even tried, for the client sees no need to. In all other states it cannot reach the broker.
        reachable = any(broker.state in ("UP", "INIT") for broker in known)
        inside = told.cgrp is None or told.cgrp.join_state == "steady" or told.cgrp.assignment_size > 0
        self._outside = 0 if inside or not reachable else self._outside + 1

    def excuse(self) -> None:
        """Have it wait for a place from now on: until now there was nothing to join the group for."""
        self._outside = 0

    @property
    def forgotten(self) -> bool:
        """Whether the client has known of no broker for some seconds."""
        return self._without >= WITHOUT

    @property
    def left_out(self) -> bool:
        """Whether the consumer has had no place in its group for longer than any rebalance takes."""
        return self._outside * STATISTICS_MS >= self._join_max_s * 1_000


class _Broker(msgspec.Struct):
    source: str  # learned, configured, internal or logical
    state: str = ""


class _Membership(msgspec.Struct):
    join_state: str
    assignment_size: int = 0


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = {}
    cgrp: _Membership | None = None
