"""The commands as processes, on their bad days: what they say, to whom, and with which code they end."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers import Kafka, Redis, ZooKeeper
from servers.ports import free_port
from tests.kafka_helpers import create_topic, read
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
BRIDGE = ["-m", "bridge"]
PUBLISH = ["-m", "bridge", "publish"]
WORKER = ["-m", "celery", "-A", "tasks", "worker", "-P", "solo", "--without-gossip", "--without-mingle"]
TIMEOUT_S = 40.0
PASSWORD = "hunter2-and-more"  # noqa: S105 - what must not be seen
ONE_SECOND = {
    "LASTWORD_STARTUP_DEADLINE_S": "1",
    "LASTWORD_CALL_TIMEOUT_S": "0.3",  # ZooKeeper's client tries for as long to connect
}


class Ended:
    """What a process left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err
        assert "Traceback" not in out + err, out + err
        assert PASSWORD not in out + err

    @property
    def complaints(self) -> list[str]:
        """What the program itself said on standard error."""
        return [line.removeprefix("lastword: ") for line in self.err.splitlines() if line.startswith("lastword: ")]


def run(arguments: Sequence[str], env: Mapping[str, str], *, stdin: str | bytes = b"") -> Ended:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=clean_env(env),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def clean_env(env: Mapping[str, str]) -> dict[str, str]:
    """Our environment without any setting, and then ``env``."""
    ours = ("LASTWORD_", "KAFKA_", "REDIS_", "CELERY_", "ZOOKEEPER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(env)


class Running:
    """A process in the background; what it says goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        def found() -> bool:
            ended = self._process.poll()
            assert text in self.said or ended is None, f"ended with {ended}:\n{self.said}"
            return text in self.said

        wait_until(found, what=f"{text!r} in:\n{self.said}")

    def end(self, number: signal.Signals) -> Ended:
        self._process.send_signal(number)
        return Ended(self._process.wait(TIMEOUT_S), "", self.said)


@contextmanager
def running(arguments: Sequence[str], env: Mapping[str, str], directory: Path) -> Iterator[Running]:
    log = directory / "said"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=clean_env(env),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def env(
    kafka_server: Kafka, redis_server: Redis, zookeeper_server: ZooKeeper, topic: str, group: str
) -> dict[str, str]:
    """Settings with which everything can be reached; the topics are there."""
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt")
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server.address,
        "REDIS_URL": redis_server.url(),
        "CELERY_BROKER_URL": redis_server.url(1),
        "ZOOKEEPER_HOSTS": zookeeper_server.address,
        "LASTWORD_ZOOKEEPER_ROOT": f"/{uuid.uuid4()}",
        "LASTWORD_TOPIC": topic,
        "LASTWORD_CONSUMER_GROUP": group,
        "LASTWORD_STARTUP_DEADLINE_S": "20",
    }


def change(product_id: str, **fields: object) -> str:
    return json.dumps({"product_id": product_id, "updated_at": "2026-01-01T00:00:00Z", "data": {}, **fields})


# Wrong settings.


@pytest.mark.parametrize(
    ("command", "setting", "given", "said"),
    [
        (BRIDGE, "LASTWORD_FETCH_MAX", "0", "given '0'; it should be greater than or equal to 1"),
        (PUBLISH, "LASTWORD_KEY_FORM", "binary", "given 'binary'; it should be 'text', 'json' or 'int64'"),
        (WORKER, "LASTWORD_LOCK_WAIT_S", "soon", "given 'soon'; it should be a valid number"),
        (BRIDGE, "REDIS_URL", f"http://:{PASSWORD}@127.0.0.1", "it should start with one of redis://"),
        (BRIDGE, "REDIS_URL", f"redis://u:{PASSWORD}/x@127.0.0.1", "unreadable host or port"),
        (BRIDGE, "LASTWORD_KAFKA_GROUP_ID", "mine", "given 'mine'; it cannot be set, a guarantee rests on it"),
        (BRIDGE, "LASTWORD_KAFKA_NONSENSE", "1", 'No such configuration property: "nonsense"'),
        (PUBLISH, "LASTWORD_KAFKA_SECURITY_PROTOCOL", "x", 'Invalid value "x" for configuration property'),
        (WORKER, "CELERY_BROKER_URL", f"carrier-pigeon://:{PASSWORD}@x", "given the scheme 'carrier-pigeon'; redis, "),
        (WORKER, "CELERY_BROKER_URL", f"redis://u:{PASSWORD}/x@127.0.0.1", "unreadable host, port or database"),
        (WORKER, "CELERY_BROKER_URL", "redis://127.0.0.1/one", "unreadable host, port or database"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(command: list[str], setting: str, given: str, said: str) -> None:
    ended = run(command, {setting: given, "LASTWORD_STARTUP_DEADLINE_S": "0"})

    assert ended.code == 2
    (line,) = ended.complaints
    assert line.startswith(f"setting {setting}: ")
    assert said in line
    assert ended.err.splitlines()[-1] == f"lastword: {line}"


def test_every_wrong_setting_has_a_line_of_its_own() -> None:
    ended = run(BRIDGE, {"LASTWORD_FETCH_MAX": "0", "LASTWORD_TOPIC": "a topic"})
    assert ended.code == 2
    assert sorted(line.split(":")[0] for line in ended.complaints) == [
        "setting LASTWORD_FETCH_MAX",
        "setting LASTWORD_TOPIC",
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
    assert "LASTWORD_STARTUP_DEADLINE_S" in last
    assert ended.code == 3


def test_a_missing_topic_ends_the_bridge_with_a_hint(env: dict[str, str]) -> None:
    ended = run(BRIDGE, {**env, "LASTWORD_TOPIC": "nowhere"})
    assert ended.code == 3
    (line,) = ended.complaints
    assert "no topic 'nowhere' and 'nowhere-dlt'" in line
    assert "--create-topics" in line


# Signals.


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


def test_ctrl_c_while_publishing_ends_it(env: dict[str, str], tmp_path: Path) -> None:
    fifo = tmp_path / "changes"
    os.mkfifo(fifo)
    with running([*PUBLISH, str(fifo)], env, tmp_path) as process, fifo.open("wb", buffering=0) as changes:
        changes.write(f"{change('1')}\n".encode())
        wait_until(lambda: read(env["KAFKA_BOOTSTRAP_SERVERS"], env["LASTWORD_TOPIC"], 1), what="the first record")
        ended = process.end(signal.SIGINT)
    assert ended.code == 130
    assert ended.complaints == ["interrupted"]


# Publishing.


def published(env: dict[str, str], count: int) -> list[tuple[bytes | None, bytes | None]]:
    found = read(env["KAFKA_BOOTSTRAP_SERVERS"], env["LASTWORD_TOPIC"], count)
    return [(message.key(), message.value()) for message in found]


def test_a_file_and_standard_input_are_published_by_product(env: dict[str, str], tmp_path: Path) -> None:
    lines = [change("42"), change("sku ü"), change("7", deleted=True)]
    file = tmp_path / "changes.jsonl"
    file.write_text(f"{lines[0]}\n\n  {lines[1]} \r\n", encoding="utf-8")

    from_file = run([*PUBLISH, str(file)], env)
    from_stdin = run(PUBLISH, env, stdin=lines[2])

    assert (from_file.code, from_stdin.code) == (0, 0)
    assert f"published 2 records to '{env['LASTWORD_TOPIC']}'" in from_file.out
    assert "published 1 records" in from_stdin.out
    assert published(env, 3) == [
        (key.encode(), line.encode()) for key, line in zip(["42", "sku ü", "7"], lines, strict=True)
    ]


def test_an_invalid_line_ends_it_by_number_and_reason_unless_unchecked(env: dict[str, str]) -> None:
    stdin = f"{change('1')}\n{change('2', updated_at=1_763_800_000)}\n{change('3')}\n"

    checked = run(PUBLISH, env, stdin=stdin)
    unchecked = run([*PUBLISH, "--unchecked", "-"], env, stdin=stdin)

    assert checked.code == 1
    (line,) = checked.complaints
    assert line.startswith("line 2: ")
    assert "milliseconds" in line
    assert "--unchecked" in line
    assert "1 records are published" in line
    assert unchecked.code == 0
    assert [key for key, _ in published(env, 4)] == [b"1", b"1", None, b"3"]


def test_a_line_that_is_too_large_ends_it_and_those_before_are_published(env: dict[str, str]) -> None:
    stdin = f"{change('1')}\n{change('2', data='x' * 5_000)}\n{change('3')}\n"
    ended = run(PUBLISH, {**env, "LASTWORD_KAFKA_MESSAGE_MAX_BYTES": "2000"}, stdin=stdin)

    assert ended.code == 1
    (line,) = ended.complaints
    assert line.startswith("line 2: ")
    assert "too large" in line
    assert "1 records are published" in line
    assert [key for key, _ in published(env, 1)] == [b"1"]


# Usage.


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "never an older one, never none"),
        (["--version"], 0, "version 0."),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["run", "--nonsense"], 2, "No such option"),
        (["publish", "/there/is/no/such/file"], 2, "No such file or directory"),
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
