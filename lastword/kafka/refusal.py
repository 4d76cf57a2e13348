"""What Kafka refuses for good, and what a person can do about it."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError

Properties = Mapping[str, str | int | bool]

AUTHENTICATION: Final = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}  # noqa: SLF001 - the library's own names
)
TOPIC_FORBIDDEN: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
REFUSED: Final = (
    AUTHENTICATION
    | TOPIC_FORBIDDEN
    | {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._AUTO_OFFSET_RESET}  # noqa: SLF001
    | {KafkaError._FATAL}  # noqa: SLF001 - a consumer is told of it by this code; fatal() is False
)
"""Errors that do not go away by themselves."""

NOT_YET: Final[dict[int, str]] = {
    KafkaError.GROUP_ID_NOT_FOUND: "it has members of the classic protocol, and Kafka cannot convert the group while "
    "they are in it: stop the bridges that run without LASTWORD_KAFKA_GROUP_PROTOCOL=consumer",
    KafkaError.UNRELEASED_INSTANCE_ID: "it has a member with this LASTWORD_KAFKA_GROUP_INSTANCE_ID: another bridge, or "
    "one that was killed and whose session has not ended",
    KafkaError.GROUP_MAX_SIZE_REACHED: "it has as many members as Kafka allows",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "its members use the other group protocol, or other assignment strategies: "
    "LASTWORD_KAFKA_GROUP_PROTOCOL and LASTWORD_KAFKA_PARTITION_ASSIGNMENT_STRATEGY should be the same for all bridges",
}
"""Why a group does not take a member in, as long as its other members are in it."""

REMEDIES: Final[dict[int, str]] = {
    **dict.fromkeys(
        AUTHENTICATION,
        "check LASTWORD_KAFKA_SASL_USERNAME, LASTWORD_KAFKA_SASL_PASSWORD and LASTWORD_KAFKA_SASL_MECHANISM",
    ),
    **dict.fromkeys(TOPIC_FORBIDDEN | {KafkaError.GROUP_AUTHORIZATION_FAILED}, "check what Kafka's ACLs allow"),
    **dict.fromkeys(
        # The latter: brokers that have never heard of it.
        (KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE),  # noqa: SLF001
        "these brokers do not offer the group protocol: it needs Kafka 4.0, with group.version=1 and 'consumer' among "
        "group.coordinator.rebalance.protocols; or unset LASTWORD_KAFKA_GROUP_PROTOCOL",
    ),
    KafkaError.UNSUPPORTED_ASSIGNOR: "LASTWORD_KAFKA_GROUP_REMOTE_ASSIGNOR should be one of the brokers' "
    "group.consumer.assignors, by default uniform and range; or unset it",
}


PASSING: Final = ("Local: ", "acquire SASL OAUTHBEARER token")
"""In librdkafka's words for an authentication that failed: that it was not the password."""


class KafkaRefusedError(Exception):
    """Kafka refuses this client for good: a wrong password, a permission that it has not."""


def is_refusal(error: KafkaError) -> bool:
    """Whether trying again is of no use."""
    # A connection that breaks, or a broker that freezes, while a password is checked is no wrong password; nor is an
    # authority that gives no token at the moment.
    interrupted = error.code() in AUTHENTICATION and any(said in error.str() for said in PASSING)
    return error.fatal() or (error.code() in REFUSED and not interrupted)


def cause(error: KafkaError) -> int:
    """Return the code of an error; of a fatal one that which has led to it, which librdkafka tells in words alone."""
    if error.code() != KafkaError._FATAL:  # noqa: SLF001
        return error.code()
    codes = (code for code in (*NOT_YET, *REMEDIES) if KafkaError(code).str() in error.str())
    return next(codes, error.code())


def not_yet(error: KafkaError) -> str:
    """Return why the group does not take this member in as long as others are in it; empty for another error."""
    return NOT_YET.get(cause(error), "")


def refusal(doing: str, error: KafkaError, properties: Properties) -> KafkaRefusedError:
    """Return the error that says what was refused to whom, why, and what to look at."""
    remedy = REMEDIES.get(cause(error), "it has to start again")
    return KafkaRefusedError(f"Kafka refuses {doing} to {client_of(properties)}: {error.str()}; {remedy}")


def forbidden(operation: str, what: str, properties: Properties) -> KafkaRefusedError:
    """Return the error that says which permission is missing."""
    return KafkaRefusedError(
        f"Kafka at {properties['bootstrap.servers']} does not allow {client_of(properties)} to {operation} {what}: "
        f"an ACL should allow it {operation.upper()} there"
    )


def client_of(properties: Properties) -> str:
    """Return by what name Kafka knows us."""
    user = properties.get("sasl.username")
    return "this client" if user is None else f"user {user!r}"
