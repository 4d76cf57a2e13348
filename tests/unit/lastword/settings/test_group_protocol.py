"""The group protocol in use, and what is said of a property that does not fit it."""

import math

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from lastword.kafka.client import CONSUMER_DEFAULTS
from lastword.kafka.refusal import cause, not_yet, refusal
from lastword.settings.bridge import BridgeSettings, kafka_properties
from lastword.settings.group_protocol import FOR_CLASSIC, fitting, join_max_s, protocol, unfit
from lastword.settings.shared import SettingsError, load

Given = dict[str, str | int | bool]
NOWHERE: Given = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}


@pytest.mark.parametrize("name", [None, "classic", "consumer", "CONSUMER"])
def test_our_defaults_fit_each_protocol(name: str | None) -> None:
    given: Given = {} if name is None else {"group.protocol": name}
    Consumer({**fitting(CONSUMER_DEFAULTS, given), **given, **NOWHERE}).close()
    assert ("partition.assignment.strategy" in fitting(CONSUMER_DEFAULTS, given)) is (protocol(given) == "classic")


def test_what_we_refuse_is_what_librdkafka_refuses() -> None:
    values = {"partition.assignment.strategy": "range", "group.protocol.type": "consumer"}
    for name in FOR_CLASSIC:
        with pytest.raises(KafkaException, match=f"`{name}` is not supported for `group.protocol=consumer`"):
            Consumer({"group.protocol": "consumer", name: values.get(name, 6_000), **NOWHERE})


@pytest.mark.parametrize(
    ("given", "name", "said"),
    [
        ({"GROUP_PROTOCOL": "kip-848"}, "GROUP_PROTOCOL", "given 'kip-848'; it should be classic or consumer"),
        ({"GROUP_PROTOCOL": "consumer", "SESSION_TIMEOUT_MS": "6000"}, "SESSION_TIMEOUT_MS", "given '6000'; "),
        ({"GROUP_PROTOCOL": "Consumer", "HEARTBEAT_INTERVAL_MS": "500"}, "HEARTBEAT_INTERVAL_MS", "Kafka decides it"),
        (
            {"GROUP_PROTOCOL": "consumer", "PARTITION_ASSIGNMENT_STRATEGY": "range"},
            "PARTITION_ASSIGNMENT_STRATEGY",
            "set LASTWORD_KAFKA_GROUP_REMOTE_ASSIGNOR instead",
        ),
        ({"GROUP_PROTOCOL": "consumer", "GROUP_PROTOCOL_TYPE": "consumer"}, "GROUP_PROTOCOL_TYPE", "other protocol"),
        (
            {"GROUP_REMOTE_ASSIGNOR": "range"},
            "GROUP_REMOTE_ASSIGNOR",
            "it means nothing without LASTWORD_KAFKA_GROUP_PROTOCOL=consumer",
        ),
    ],
)
def test_a_property_that_does_not_fit_is_a_wrong_setting(
    given: dict[str, str], name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in given.items():
        monkeypatch.setenv(f"LASTWORD_KAFKA_{variable}", value)
    with pytest.raises(SettingsError) as error:
        kafka_properties(load(BridgeSettings))
    assert str(error.value).startswith(f"setting LASTWORD_KAFKA_{name}: given ")
    assert said in str(error.value)


def test_properties_that_fit_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GROUP_PROTOCOL", "consumer"), ("GROUP_REMOTE_ASSIGNOR", "range")):
        monkeypatch.setenv(f"LASTWORD_KAFKA_{name}", value)
    properties = kafka_properties(load(BridgeSettings))
    assert unfit(properties) is None
    assert (properties["group.protocol"], properties["group.remote.assignor"]) == ("consumer", "range")


def test_a_bridge_that_is_one_too_many_is_not_taken_for_one_that_was_left_out() -> None:
    assert join_max_s({}) == 55
    assert join_max_s({"session.timeout.ms": 6_000}) == 16
    assert join_max_s({"group.protocol": "consumer"}) == math.inf


def fatal(code: int) -> KafkaError:
    """As librdkafka tells it when a member gets this answer to its heartbeat."""
    said = KafkaError(code).str()
    return KafkaError(KafkaError._FATAL, f"Fatal error: {said}: ConsumerGroupHeartbeat fatal error: {said}")


def test_a_fatal_error_is_told_by_what_led_to_it() -> None:
    waits = (KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNRELEASED_INSTANCE_ID, KafkaError.GROUP_MAX_SIZE_REACHED)
    for code in waits:
        assert cause(fatal(code)) == code
        assert not_yet(fatal(code))
    remedies = {
        KafkaError.UNSUPPORTED_VERSION: "needs Kafka 4.0",
        KafkaError._UNSUPPORTED_FEATURE: "needs Kafka 4.0",
        KafkaError.UNSUPPORTED_ASSIGNOR: "LASTWORD_KAFKA_GROUP_REMOTE_ASSIGNOR should be",
        KafkaError.GROUP_AUTHORIZATION_FAILED: "ACLs",
        KafkaError.INVALID_REQUEST: "it has to start again",
    }
    for code, remedy in remedies.items():
        assert not not_yet(fatal(code))
        assert remedy in str(refusal("group 'g'", fatal(code), {}))
