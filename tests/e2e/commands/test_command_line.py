"""The commands as processes, on their bad days: what they say, to whom, and with which code they end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from servers import Reachable, ReachableRedis, Redis
from servers.ports import free_port
from tests.commands import BRIDGE, ONE_SECOND, PASSWORD, PUBLISH, TIMEOUT_S, WORKER, change, run, running, working_env


@pytest.fixture
def env(
    kafka_server: Reachable, redis_server: ReachableRedis, zookeeper_server: Reachable, topic: str, group: str
) -> dict[str, str]:
    return working_env(kafka_server, redis_server, zookeeper_server, topic, group)


# Wrong settings.


@pytest.mark.parametrize(
    ("command", "setting", "given", "said"),
    [
        (BRIDGE, "LASTWORD_UNDECODABLE_MAX", "0", "given '0'; it should be greater than or equal to 1"),
        (PUBLISH, "LASTWORD_KEY_FORM", "binary", "given 'binary'; it should be 'text', 'json' or 'int64'"),
        (WORKER, "LASTWORD_LOADER_TIMEOUT_S", "soon", "given 'soon'; it should be a valid number"),
        (BRIDGE, "REDIS_URL", f"http://:{PASSWORD}@127.0.0.1", "it should start with one of redis://"),
        (BRIDGE, "REDIS_URL", f"redis://u:{PASSWORD}/x@127.0.0.1", "unreadable host, port"),
        (BRIDGE, "LASTWORD_KAFKA_GROUP_ID", "mine", "given 'mine'; it cannot be set, a guarantee rests on it"),
        (BRIDGE, "LASTWORD_KAFKA_NONSENSE", "1", 'No such configuration property: "nonsense"'),
        (PUBLISH, "LASTWORD_KAFKA_LOG_LEVEL", "loud", 'Invalid value for configuration property "log_level"'),
        (PUBLISH, "LASTWORD_KAFKA_SECURITY_PROTOCOL", "x", 'Invalid value "x" for configuration property'),
        (WORKER, "CELERY_BROKER_URL", f"carrier-pigeon://:{PASSWORD}@x", "given the scheme 'carrier-pigeon'; redis, "),
        (WORKER, "CELERY_BROKER_URL", f"redis://u:{PASSWORD}/x@127.0.0.1", "unreadable host, port or database"),
        (WORKER, "CELERY_BROKER_URL", "redis://127.0.0.1/one", "unreadable host, port or database"),
        (WORKER, "CELERY_BROKER_URL_FILE", "/nowhere", "the file '/nowhere' cannot be read: No such file or directory"),
        (BRIDGE, "CELERY_BROKER_URL_FILE", "/nowhere", "the file '/nowhere' cannot be read: No such file or directory"),
        (WORKER, "REDIS_URL_FILE", "/nowhere", "the file '/nowhere' cannot be read: No such file or directory"),
        (PUBLISH, "LASTWORD_KAFKA_SASL_PASSWORD_FILE", "/", "the file '/' cannot be read: Is a directory"),
        (
            WORKER,
            "LASTWORD_LOADER_TIMEOUT",
            PASSWORD,
            "there is no such setting; did you mean LASTWORD_LOADER_TIMEOUT_S?",
        ),
        (BRIDGE, "LASTWORD_ZOOKEEPER_AUHT", PASSWORD, "there is no such setting; did you mean LASTWORD_ZOOKEEPER_AUTH"),
        (WORKER, "LASTWORD_ZOOKEEPER_AUTH", PASSWORD, "given a secret value; it should be user:password"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(command: list[str], setting: str, given: str, said: str) -> None:
    ended = run(command, {setting: given, "LASTWORD_STARTUP_DEADLINE_S": "0"})

    assert ended.code == 2
    (line,) = ended.complaints
    assert line.startswith(f"setting {setting}: ")
    assert said in line
    assert ended.err.splitlines()[-1] == f"lastword: {line}"


@pytest.mark.core
def test_every_wrong_setting_has_a_line_of_its_own() -> None:
    ended = run(BRIDGE, {"LASTWORD_UNDECODABLE_MAX": "0", "LASTWORD_TOPIC": "a topic"})
    assert ended.code == 2
    assert sorted(line.split(":")[0] for line in ended.complaints) == [
        "setting LASTWORD_TOPIC",
        "setting LASTWORD_UNDECODABLE_MAX",
    ]


@pytest.mark.parametrize("scheme", ["carrier-pigeon", "redis"])
def test_the_bridge_refuses_a_broker_it_cannot_use(env: dict[str, str], scheme: str) -> None:
    ended = run(BRIDGE, {**env, "CELERY_BROKER_URL": f"{scheme}://u:{PASSWORD}/x@127.0.0.1/1"})
    assert ended.code == 2
    assert [line.split(": ")[0] for line in ended.complaints] == ["setting CELERY_BROKER_URL"]


def test_properties_that_contradict_each_other_are_a_wrong_setting(env: dict[str, str]) -> None:
    ended = run(PUBLISH, {**env, "LASTWORD_KAFKA_ACKS": "1"}, stdin=change("1"))
    assert ended.code == 2
    assert ended.complaints[-1].startswith("setting LASTWORD_KAFKA_ACKS: ")


# Servers that cannot be reached.


@pytest.mark.parametrize(
    ("command", "setting", "url", "what", "shown"),
    [
        (BRIDGE, "KAFKA_BOOTSTRAP_SERVERS", "{}", "Kafka", "{}"),
        (PUBLISH, "KAFKA_BOOTSTRAP_SERVERS", "{}", "Kafka", "{}"),
        (BRIDGE, "CELERY_BROKER_URL", "redis://:%s@{}/1", "the Celery broker", "redis://:**@{}/1"),
        (WORKER, "CELERY_BROKER_URL", "amqp://u:%s@{}//", "the Celery broker", "amqp://u:**@{}//"),
        (BRIDGE, "REDIS_URL", "redis://:%s@{}/0", "Redis", "{}"),
        (WORKER, "ZOOKEEPER_HOSTS", "{}", "ZooKeeper", "{}"),
    ],
)
def test_a_server_that_is_not_there_is_waited_for_visibly_and_not_for_ever(
    env: dict[str, str], command: list[str], setting: str, url: str, what: str, shown: str
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    value = url.format(nobody).replace("%s", PASSWORD)

    ended = run(command, {**env, **ONE_SECOND, setting: value})

    *waiting, last = ended.complaints
    assert waiting
    assert all(line.startswith(f"waiting for {what} at {shown.format(nobody)}: ") for line in waiting)
    assert last.startswith(f"{what} at {shown.format(nobody)} cannot be reached: ")
    assert last.count(f"{what} at ") == 1
    assert "LASTWORD_STARTUP_DEADLINE_S" in last
    assert ended.code == 3


@pytest.mark.core
def test_a_missing_topic_ends_the_bridge_with_a_hint(env: dict[str, str]) -> None:
    ended = run(BRIDGE, {**env, "LASTWORD_TOPIC": "nowhere"})
    assert ended.code == 3
    (line,) = ended.complaints
    assert "no topic 'nowhere' and 'nowhere-dlt'" in line
    assert "--create-topics" in line


# Signals.


@pytest.mark.core
def test_ctrl_c_while_it_is_still_being_imported_is_one_line(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = run(BRIDGE, {**env, "PYTHONPATH": str(tmp_path)})
    assert (ended.code, ended.err) == (130, "lastword: interrupted\n")


@pytest.mark.core
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_bridge_goes_on_when_the_server_comes_up_and_stops_when_asked(
    env: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    broker = Redis(tmp_path / "broker", port=free_port())
    with running(BRIDGE, {**env, "CELERY_BROKER_URL": broker.url(1)}, tmp_path) as bridge:
        bridge.wait_for("waiting for the Celery broker")
        with broker:
            bridge.wait_for("partitions assigned: [0]")
            ended = bridge.end(number)
    assert ended.code == 0
    assert ended.err.splitlines()[-1].endswith("stopped")


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        (BRIDGE, "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{}"),
        (PUBLISH, "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{}"),
        (WORKER, "CELERY_BROKER_URL", "redis://127.0.0.1:{}/1"),
    ],
)
def test_ctrl_c_while_waiting_ends_it_at_once(
    env: dict[str, str], tmp_path: Path, command: list[str], setting: str, value: str
) -> None:
    with running(command, {**env, setting: value.format(free_port())}, tmp_path) as process:
        process.wait_for("lastword: waiting for ")
        ended = process.end(signal.SIGINT)
    assert ended.code == 130
    assert ended.complaints[-1] == "interrupted"


# Usage.


@pytest.mark.core
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "never an older one, never none"),
        (["--version"], 0, "version 0."),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["run", "--nonsense"], 2, "No such option"),
        (["publish", "/there/is/no/such/file"], 2, "does not exist"),
    ],
)
def test_usage(arguments: list[str], code: int, said: str) -> None:
    ended = run([*BRIDGE, *arguments], {})
    assert ended.code == code
    assert said in ended.out + ended.err


def test_the_installed_command_is_the_same_as_the_module() -> None:
    lastword = Path(sys.executable).with_name("lastword")
    done = subprocess.run([lastword, "--version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("lastword, version ")


def test_the_installed_command_alone_shows_its_help_and_joins_no_group() -> None:
    lastword = Path(sys.executable).with_name("lastword")
    # With a setting that the bridge would refuse: it is not even read.
    ended = run([str(lastword)], {"LASTWORD_TOPIC": "not a topic"})
    assert (ended.code, ended.err) == (0, "")
    assert "Commands:" in ended.out
    assert "Bridge the topic to Celery" in ended.out
