"""Which of Kafka's errors end a client, and what is said then."""

import pytest
from confluent_kafka import KafkaError

from lastword.kafka.refusal import is_refusal, refusal

PROPERTIES: dict[str, str | int | bool] = {
    "bootstrap.servers": "a:1",
    "sasl.username": "me",
    "sasl.password": "hunter2",
}


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (KafkaError._AUTHENTICATION, "SASL authentication error: invalid credentials", True),
        (KafkaError._AUTHENTICATION, "SaslAuthenticateRequest failed: Local: Broker transport failure", False),
        (KafkaError._AUTHENTICATION, "SASL mechanism handshake failed: Local: Timed out", False),
        (KafkaError._AUTHENTICATION, "Failed to acquire SASL OAUTHBEARER token: Failed to connect to host", False),
        (KafkaError._FATAL, "Fatal error: fenced", True),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, None, True),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, None, True),
        (KafkaError._SSL, "certificate verify failed", False),
        (KafkaError._TRANSPORT, "Connection refused", False),
        (KafkaError._ALL_BROKERS_DOWN, None, False),
    ],
)
def test_only_what_does_not_go_away_by_itself_is_a_refusal(
    code: int,
    text: str | None,
    expected: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert is_refusal(KafkaError(code, text)) is expected


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (KafkaError._AUTHENTICATION, "LASTWORD_KAFKA_SASL_PASSWORD"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "ACLs"),
        (KafkaError._FATAL, "start again"),
    ],
)
def test_a_refusal_says_what_to_whom_why_and_what_to_do(code: int, remedy: str) -> None:
    said = str(refusal("topic 't'", KafkaError(code, "the reason"), PROPERTIES))
    assert said.startswith("Kafka refuses topic 't' to user 'me': the reason; ")
    assert remedy in said
    assert "hunter2" not in said
