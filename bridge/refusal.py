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


def refusal(doing: str, error: KafkaError, properties: Properties) -> KafkaRefusedError:
    """Return the error that says what was refused to whom, why, and what to look at."""
    if error.code() in AUTHENTICATION:
        remedy = "check LASTWORD_KAFKA_SASL_USERNAME, LASTWORD_KAFKA_SASL_PASSWORD and LASTWORD_KAFKA_SASL_MECHANISM"
    elif error.code() in TOPIC_FORBIDDEN | {KafkaError.GROUP_AUTHORIZATION_FAILED}:
        remedy = "check what Kafka's ACLs allow"
    else:
        remedy = "it has to start again"
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
