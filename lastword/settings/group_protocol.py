"""Kafka's two protocols for the members of a group: which one is in use, and what goes with it. Pure.

With ``group.protocol=consumer`` (KIP-848) the brokers assign the partitions and decide how long a session lasts;
librdkafka then refuses the properties by which a member of the classic protocol says so.
Source: https://cwiki.apache.org/confluence/display/KAFKA/KIP-848
"""

import math
from collections.abc import Mapping
from typing import Final

CLASSIC: Final = "classic"
CONSUMER: Final = "consumer"
PROTOCOL: Final = "group.protocol"
ASSIGNOR: Final = "group.remote.assignor"

SESSION_MS: Final = 45_000  # librdkafka's own default
JOIN_S: Final = 10.0
"""How much longer than a session a consumer may be without a place in its group."""

FOR_CLASSIC: Final[dict[str, str]] = {
    "session.timeout.ms": "Kafka decides it: group.consumer.session.timeout.ms of the brokers, or "
    "consumer.session.timeout.ms of the group",
    "heartbeat.interval.ms": "Kafka decides it: group.consumer.heartbeat.interval.ms of the brokers, or "
    "consumer.heartbeat.interval.ms of the group",
    "partition.assignment.strategy": "Kafka assigns the partitions; set LASTWORD_KAFKA_GROUP_REMOTE_ASSIGNOR instead",
    "group.protocol.type": "it belongs to the other protocol",
}
"""What cannot be set with the protocol ``consumer``, and why."""

Given = Mapping[str, str | int | bool]


def protocol(properties: Given) -> str:
    """Return the protocol in use, in small letters as librdkafka reads it too."""
    return str(properties.get(PROTOCOL, CLASSIC)).lower()


def unfit(properties: Given) -> tuple[str, str] | None:
    """Return a property that does not fit the protocol in use, and why; None where all do."""
    used = protocol(properties)
    if used not in {CLASSIC, CONSUMER}:
        return PROTOCOL, f"it should be {CLASSIC} or {CONSUMER}"
    if used == CONSUMER:
        for name, reason in FOR_CLASSIC.items():
            if name in properties:
                return name, f"it cannot be set with LASTWORD_KAFKA_GROUP_PROTOCOL={CONSUMER}: {reason}"
    elif ASSIGNOR in properties:
        return ASSIGNOR, f"it means nothing without LASTWORD_KAFKA_GROUP_PROTOCOL={CONSUMER}"
    return None


def fitting(defaults: Given, properties: Given) -> dict[str, str | int | bool]:
    """Return a consumer's defaults without those that do not fit the protocol in use."""
    foreign = FOR_CLASSIC.keys() if protocol(properties) == CONSUMER else ()
    return {name: value for name, value in defaults.items() if name not in foreign}


def join_max_s(properties: Given) -> float:
    """How long a member may be without a place in its group before it has been left out."""
    if protocol(properties) == CONSUMER:
        return math.inf  # one that has no partitions, since there are more bridges, looks the same, for ever
    # A rebalance waits no longer than this for a member that is gone.
    return int(properties.get("session.timeout.ms", SESSION_MS)) / 1_000 + JOIN_S
