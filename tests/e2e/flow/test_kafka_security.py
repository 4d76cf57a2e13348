"""The commands and a Kafka with TLS, passwords and ACLs: what works, and what is said when something is wrong."""

import signal
from pathlib import Path

import pytest
import redis

from servers import Reachable, Redis, ZooKeeper
from tests.commands import BRIDGE, ONE_SECOND, PASSWORD, PUBLISH, Ended, change, run, running
from tests.secured_kafka import SecuredKafka
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker, empty_broker, worker_env

COMMANDS = pytest.mark.parametrize("command", [BRIDGE, PUBLISH], ids=["bridge", "publish"])
MOST_LINES = 15


@pytest.fixture
def env(
    secured_kafka: SecuredKafka,
    redis_server: Redis,
    zookeeper_server: ZooKeeper,
    topic: str,
    group: str,
    key_prefix: str,
) -> dict[str, str]:
    """All that both commands need, on topics that are there."""
    for name in (topic, f"{topic}-dlt"):
        secured_kafka.create_topic(name)
    secured_kafka.allow("TOPIC", topic, "READ", "WRITE")
    secured_kafka.allow("TOPIC", f"{topic}-dlt", "WRITE")
    secured_kafka.allow("GROUP", group, "READ")
    return {
        **secured_kafka.environment(),
        "REDIS_URL": redis_server.url(),
        "CELERY_BROKER_URL": redis_server.url(1),
        "ZOOKEEPER_HOSTS": zookeeper_server.address,
        "LASTWORD_TOPIC": topic,
        "LASTWORD_KEY_PREFIX": key_prefix,
        "LASTWORD_CONSUMER_GROUP": group,
        "LASTWORD_STARTUP_DEADLINE_S": "20",
    }


def line_of(ended: Ended, code: int) -> str:
    """The last thing said; the exit code is as expected, and librdkafka does not flood."""
    assert ended.code == code, ended.err
    assert len(ended.err.splitlines()) <= MOST_LINES, ended.err
    assert ended.err.splitlines()[-1] == f"lastword: {ended.complaints[-1]}"
    return ended.complaints[-1]


# What cannot heal.


@COMMANDS
@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"sasl_password": f"{PASSWORD}-wrong"}, "invalid credentials with SASL mechanism SCRAM-SHA-512"),
        ({"sasl_username": "nobody"}, "Kafka refuses the connection to user 'nobody'"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "broker's supported mechanisms: SCRAM-SHA-512,PLAIN"),
    ],
    ids=["password", "user", "mechanism"],
)
def test_wrong_credentials_end_it_at_once(
    secured_kafka: SecuredKafka, env: dict[str, str], command: list[str], properties: dict[str, str], said: str
) -> None:
    ended = run(command, {**env, **secured_kafka.environment(**properties)}, stdin=change("1"))
    line = line_of(ended, 4)
    assert ended.complaints == [line], "nothing is waited for"
    assert said in line
    assert secured_kafka.server.address in line
    assert "check LASTWORD_KAFKA_SASL_USERNAME, LASTWORD_KAFKA_SASL_PASSWORD and LASTWORD_KAFKA_SASL_MECHANISM" in line


@pytest.mark.parametrize(
    ("command", "kind", "suffix", "said"),
    [
        (BRIDGE, "TOPIC", "", "to read topic '{topic}': an ACL should allow it READ"),
        (BRIDGE, "TOPIC", "-dlt", "to write topic '{topic}-dlt': an ACL should allow it WRITE"),
        (BRIDGE, "GROUP", "", "to read consumer group '{group}': an ACL should allow it READ"),
        (PUBLISH, "TOPIC", "", "to write topic '{topic}': an ACL should allow it WRITE"),
    ],
)
def test_a_permission_that_is_missing_ends_it_at_once(
    secured_kafka: SecuredKafka, env: dict[str, str], command: list[str], kind: str, suffix: str, said: str
) -> None:
    topic, group = env["LASTWORD_TOPIC"], env["LASTWORD_CONSUMER_GROUP"]
    secured_kafka.forbid(kind, {"TOPIC": topic, "GROUP": group}[kind] + suffix)
    line = line_of(run(command, env, stdin=change("1")), 4)
    where = f"Kafka at {secured_kafka.server.address} does not allow user 'lastword' "
    assert line.startswith(where + said.format(topic=topic, group=group))


def test_a_topic_that_may_be_read_but_not_written_is_refused_by_the_operation(
    secured_kafka: SecuredKafka, env: dict[str, str]
) -> None:
    secured_kafka.forbid("TOPIC", env["LASTWORD_TOPIC"])
    secured_kafka.allow("TOPIC", env["LASTWORD_TOPIC"], "READ")
    assert "to write topic" in line_of(run(PUBLISH, env, stdin=change("1")), 4)


def test_topics_that_may_not_be_created_are_named(secured_kafka: SecuredKafka, env: dict[str, str]) -> None:
    new = f"{env['LASTWORD_TOPIC']}-new"
    secured_kafka.allow("TOPIC", new, "READ")
    secured_kafka.allow("TOPIC", f"{new}-dlt", "WRITE")
    env = {**env, "LASTWORD_TOPIC": new}

    missing = run(BRIDGE, env)
    forbidden = run([*BRIDGE, "run", "--create-topics"], env)

    assert f"no topic '{new}' and '{new}-dlt' in Kafka at {secured_kafka.server.address}" in line_of(missing, 3)
    assert f"to create topic '{new}': an ACL should allow it CREATE there" in line_of(forbidden, 4)


def test_a_retention_that_may_not_be_looked_at_is_named(env: dict[str, str]) -> None:
    week = str(7 * 86_400)
    env = {**env, "LASTWORD_TTL_S": week, "LASTWORD_TOMBSTONE_TTL_S": week, "LASTWORD_REPLAY_HORIZON_S": week}
    assert "to describe_configs of topic" in line_of(run(BRIDGE, env), 4)


def test_a_permission_taken_away_from_a_running_bridge_ends_it(
    secured_kafka: SecuredKafka, env: dict[str, str], tmp_path: Path
) -> None:
    with running(BRIDGE, env, tmp_path) as bridge:
        bridge.wait_for("partitions assigned: [0]")
        secured_kafka.forbid("TOPIC", env["LASTWORD_TOPIC"])
        ended = bridge.wait()
    line = line_of(ended, 4)
    assert f"Kafka refuses topic '{env['LASTWORD_TOPIC']}'" in line
    assert "user 'lastword'" in line
    assert "Topic authorization failed" in line


def test_dead_letters_that_may_not_be_written_wait_until_they_may(
    secured_kafka: SecuredKafka, env: dict[str, str], tmp_path: Path
) -> None:
    letters = f"{env['LASTWORD_TOPIC']}-dlt"
    with running(BRIDGE, env, tmp_path) as bridge:
        bridge.wait_for("partitions assigned: [0]")
        secured_kafka.forbid("TOPIC", letters)
        secured_kafka.produce(env["LASTWORD_TOPIC"], b"no JSON")
        bridge.wait_for(f"a dead letter cannot be delivered to {letters} for now: Broker: Topic authorization failed")
        secured_kafka.allow("TOPIC", letters, "WRITE")
        bridge.wait_for("dead letter: ")
        assert bridge.end(signal.SIGTERM).code == 0


# What may heal: waited for, and not for ever.


@COMMANDS
@pytest.mark.parametrize(
    ("host", "properties", "said"),
    [
        ("localhost", {}, "Hostname mismatch, certificate is not valid for 'localhost'. Name the brokers as"),
        ("127.0.0.1", {"ssl_ca_location": ""}, "is its authority in LASTWORD_KAFKA_SSL_CA_LOCATION?"),
        ("127.0.0.1", {"security_protocol": "plaintext"}, "is LASTWORD_KAFKA_SECURITY_PROTOCOL (plaintext) what"),
        ("127.0.0.1", {"security_protocol": "SSL"}, "is LASTWORD_KAFKA_SECURITY_PROTOCOL (SSL) what this port speaks?"),
        ("no-such-host.invalid", {}, "Failed to resolve 'no-such-host.invalid:"),
    ],
    ids=["name", "authority", "plaintext", "tls-without-sasl", "dns"],
)
def test_trouble_with_the_connection_is_said_waited_for_and_ends(
    secured_kafka: SecuredKafka,
    env: dict[str, str],
    command: list[str],
    host: str,
    properties: dict[str, str],
    said: str,
) -> None:
    address = f"{host}:{secured_kafka.server.port}"
    env = {**env, **secured_kafka.environment(**properties), **ONE_SECOND, "KAFKA_BOOTSTRAP_SERVERS": address}
    env = {name: value for name, value in env.items() if value}

    ended = run(command, env, stdin=change("1"))

    line = line_of(ended, 3)
    assert line.startswith(f"Kafka at {address} cannot be reached: ")
    assert said in line
    assert ended.complaints[0].startswith(f"waiting for Kafka at {address}: ")


def test_tls_to_a_plain_port_is_said(env: dict[str, str], kafka_server: Reachable) -> None:
    env = {**env, **ONE_SECOND, "KAFKA_BOOTSTRAP_SERVERS": kafka_server.address}
    assert "is LASTWORD_KAFKA_SECURITY_PROTOCOL (SASL_SSL) what this port speaks?" in line_of(run(BRIDGE, env), 3)


def test_a_ca_file_that_is_not_there_is_a_wrong_setting(env: dict[str, str]) -> None:
    ended = run(BRIDGE, {**env, "LASTWORD_KAFKA_SSL_CA_LOCATION": "/no/such/file.pem"})
    line = line_of(ended, 2)
    assert line.startswith("setting LASTWORD_KAFKA_SSL_CA_LOCATION: ")


# What works.


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
@pytest.mark.parametrize("name", ["sasl_mechanism", "sasl_mechanisms"])
def test_any_property_is_passed_through_to_every_client(
    env: dict[str, str], tmp_path: Path, mechanism: str, name: str
) -> None:
    del env["LASTWORD_KAFKA_SASL_MECHANISM"]
    env = {**env, f"LASTWORD_KAFKA_{name.upper()}": mechanism, "LASTWORD_KAFKA_LOG_LEVEL": "4"}
    published = run(PUBLISH, env, stdin=change("1"))
    assert (published.code, published.err) == (0, "")
    with running(BRIDGE, env, tmp_path) as bridge:
        bridge.wait_for("partitions assigned: [0]")


def test_the_flow_works_over_tls_with_a_password_and_only_the_permissions_it_needs(
    env: dict[str, str],
    redis_server: Redis,
    zookeeper_server: ZooKeeper,
    zookeeper_root: str,
    key_prefix: str,
    tmp_path: Path,
) -> None:
    empty_broker(redis_server)
    env |= worker_env(redis_server, zookeeper_server, root=zookeeper_root, key_prefix=key_prefix)
    published = run([*PUBLISH, "--unchecked"], env, stdin=f"{change('1', data=7)}\n{{}}\n")
    assert published.code == 0, published.err
    with (
        redis.Redis.from_url(redis_server.url()) as cache,
        celery_worker(env, "-P", "threads", "-c", "2"),
        running(BRIDGE, env, tmp_path) as bridge,
    ):
        wait_until(lambda: cache.hget(f"{key_prefix}1", "data") == b"7", what="the change in Redis")
        bridge.wait_for("dead letter: ")
        assert bridge.end(signal.SIGTERM).code == 0
