"""What Kafka refuses a consumer that runs: permissions taken away, a new password, its place in the group."""

import pytest

from lastword.kafka.refusal import KafkaRefusedError
from servers import Reachable
from tests.commands import PASSWORD
from tests.kafka_helpers import Member, create_topic
from tests.secured_kafka import SecuredKafka
from tests.waiting import wait_until


def refusal_of(member: Member) -> str:
    found: list[str] = []

    def refused() -> list[str]:
        try:
            member.records.fetch(10, 0.1)
        except KafkaRefusedError as error:
            found.append(str(error))
        return found

    wait_until(refused, what="the refusal")
    return found[0]


def secured_member(kafka: SecuredKafka, topic: str, group: str) -> Member:
    given = {name.replace(".", "_"): value for name, value in kafka.properties().items()}
    return Member(kafka.server.address, topic, group, **given)


@pytest.mark.parametrize(("kind", "said"), [("TOPIC", "Topic authorization failed"), ("GROUP", "Group authorization")])
def test_a_permission_that_is_taken_away_ends_the_consumer(
    secured_kafka: SecuredKafka, topic: str, group: str, kind: str, said: str
) -> None:
    secured_kafka.create_topic(topic)
    secured_kafka.allow("TOPIC", topic, "READ")
    secured_kafka.allow("GROUP", group, "READ")
    with secured_member(secured_kafka, topic, group) as member:
        member.join(1)
        secured_kafka.forbid(kind, {"TOPIC": topic, "GROUP": group}[kind])
        refusal = refusal_of(member)
    for part in (repr(topic), repr(group), "user 'lastword'", said, "ACLs"):
        assert part in refusal


def test_a_password_that_is_changed_ends_the_consumer_when_it_connects_again(
    secured_kafka: SecuredKafka, topic: str, group: str
) -> None:
    secured_kafka.create_topic(topic)
    secured_kafka.allow("TOPIC", topic, "READ")
    secured_kafka.allow("GROUP", group, "READ")
    before = secured_kafka.security.users["lastword"]
    with secured_member(secured_kafka, topic, group) as member:
        member.join(1)
        secured_kafka.change_password("lastword", f"{PASSWORD}-another")
        try:
            secured_kafka.server.restart()
            refusal = refusal_of(member)
        finally:
            secured_kafka.change_password("lastword", before)
    assert "invalid credentials" in refusal
    assert "LASTWORD_KAFKA_SASL_PASSWORD" in refusal
    assert PASSWORD not in refusal


def test_kafka_that_is_restarted_is_no_refusal(secured_kafka: SecuredKafka, topic: str, group: str) -> None:
    secured_kafka.create_topic(topic)
    secured_kafka.allow("TOPIC", topic, "READ", "WRITE")
    secured_kafka.allow("GROUP", group, "READ")
    with secured_member(secured_kafka, topic, group) as member:
        member.join(1)
        secured_kafka.server.restart()
        secured_kafka.produce(topic, b"after")
        assert [message.value() for message in member.fetch_until(1)] == [b"after"]


def test_a_consumer_that_is_fenced_off_ends_with_the_reason(kafka_server: Reachable, topic: str, group: str) -> None:
    create_topic(kafka_server.address, topic)
    with Member(kafka_server.address, topic, group, group_instance_id="one") as first:
        first.join(1)
        with Member(kafka_server.address, topic, group, group_instance_id="one") as second:
            wait_until(lambda: second.records.fetch(1, 0.1) or second.assigned, what="the second one's partition")
            refusal = refusal_of(first)
    assert "fenced" in refusal
    assert "this client" in refusal
