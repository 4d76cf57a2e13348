"""``lastword dead-letters`` on letters of every kind on a real Kafka: what a person and a script get to see."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from bridge.letters.dead_letters import PREFIX
from lastword.commands.cli import main
from lastword.contract.record import VERSION_HEADER
from servers import Reachable
from tests.commands import BRIDGE, PASSWORD, REPOSITORY, Ended, clean_env
from tests.kafka_helpers import create_topic

pytestmark = pytest.mark.core

BEGIN_MS = 1_763_800_000_000
LETTERS = ["dead-letters"]
VERSION = "1763800000000000-7"


@pytest.fixture
def env(kafka_server: Reachable, topic: str, group: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server.address,
        "LASTWORD_TOPIC": topic,
        "LASTWORD_CONSUMER_GROUP": group,
        "LASTWORD_STARTUP_DEADLINE_S": "20",
        "REDIS_URL": "somebody else's",
    }


def run(arguments: Sequence[str], env: Mapping[str, str]) -> Ended:
    """The command in this process, which is quicker; its other tests have processes."""
    done = CliRunner().invoke(main, list(arguments), env=env, catch_exceptions=False)
    return Ended(done.exit_code, done.stdout, done.stderr)


class Letters:
    """Writes letters at times and places of the test's choice."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.topic = env["LASTWORD_TOPIC"]
        self._producer = Producer({"bootstrap.servers": env["KAFKA_BOOTSTRAP_SERVERS"]})

    def write(
        self,
        at: int,
        key: bytes | None = b"p",
        value: bytes | None = b"{}",
        *,
        to: int = 0,
        version: str = "",
        **headers: str,
    ) -> None:
        ours: dict[str, str] = {
            "topic": self.topic,
            "partition": "2",
            "offset": "15",
            "timestamp": str(BEGIN_MS),
            "stage": "decode",
            "class": "InvalidUpdateError",
            "message": "updated_at is missing",
        }
        ours |= {name.removesuffix("_").replace("_", "-"): text for name, text in headers.items()}
        written: list[tuple[str, str | bytes | None]] = [("trace", b"\x00\xff")]
        written += [(f"{PREFIX}{name}", text) for name, text in ours.items()]
        if version:
            written.append((VERSION_HEADER, version))
        self.write_record(at, key, value, written, to=to)

    def write_record(
        self,
        at: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, str | bytes | None]],
        *,
        to: int = 0,
    ) -> None:
        self._producer.produce(
            f"{self.topic}-dlt", key=key, value=value, headers=headers, partition=to, timestamp=BEGIN_MS + at
        )
        assert self._producer.flush(60) == 0


@pytest.fixture
def letters(env: dict[str, str]) -> Letters:
    # The letters' times are long ago: Kafka would delete them at its next look.
    create_topic(env["KAFKA_BOOTSTRAP_SERVERS"], f"{env['LASTWORD_TOPIC']}-dlt", 2, config={"retention.ms": "-1"})
    return Letters(env)


def listed(env: dict[str, str], *arguments: str) -> list[dict[str, str]]:
    done = run([*LETTERS, "--json", *arguments], env)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def rows(done: Ended) -> list[list[str]]:
    assert done.code == 0, done.err
    return [line.split("\t") for line in done.out.splitlines()]


def on_a_terminal(arguments: list[str], env: Mapping[str, str]) -> str:
    """What a command writes to a terminal of 200 columns."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *BRIDGE, *arguments], cwd=REPOSITORY, env=clean_env({**env, "COLUMNS": "200"}), stdout=theirs
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 10_000):
            said += piece
    except OSError:  # how Linux says that nobody writes any more
        pass
    finally:
        os.close(ours)
    assert process.wait(120) == 0
    return said.decode()


def test_the_newest_are_listed_last_wherever_they_lie(env: dict[str, str], letters: Letters) -> None:
    for at in range(10):
        letters.write(at, f"p{at}".encode(), to=at % 2)

    everything = rows(run(LETTERS, env))
    assert everything[0][:4] == ["id", "at", "product_id", "version"]
    assert [row[2] for row in everything[1:]] == [f"p{at}" for at in range(10)]
    assert [row[0] for row in everything[1:4]] == ["0:0", "1:0", "0:1"]

    limited = run([*LETTERS, "--limit", "3"], env)
    assert [row[2] for row in rows(limited)[1:]] == ["p7", "p8", "p9"]
    assert limited.complaints == ["these are the newest 3; --limit 0 lists all"]

    since = rows(run([*LETTERS, "--since", "2025-11-22T08:26:40.006Z"], env))
    assert [row[2] for row in since[1:]] == ["p6", "p7", "p8", "p9"]
    assert {one["product_id"] for one in listed(env)} == {f"p{at}" for at in range(10)}
    assert [one["product_id"] for one in listed(env, "--limit", "2")] == ["p8", "p9"]
    assert len(rows(run([*LETTERS, "--limit", "0"], env))) == 11


def test_the_newest_are_found_behind_offsets_without_a_letter(env: dict[str, str], letters: Letters) -> None:
    letters.write(0, b"old")
    producer = Producer({"bootstrap.servers": env["KAFKA_BOOTSTRAP_SERVERS"], "transactional.id": letters.topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    for _ in range(40):
        producer.produce(f"{letters.topic}-dlt", b"aborted", partition=0)
    assert producer.flush(60) == 0
    producer.abort_transaction(10)

    assert [one["product_id"] for one in listed(env, "--limit", "2")] == ["old"]


def test_a_script_gets_everything(env: dict[str, str], letters: Letters) -> None:
    letters.write(0, b"42", b'{"data":1}', stage="apply", class_="UnusableKeyError", version=VERSION)
    letters.write(1, None, None, value_omitted="123456")

    first, second = listed(env)
    assert first == {
        "id": "0:0",
        "at": "2025-11-22T08:26:40Z",
        "product_id": "42",
        "version": VERSION,
        "topic": letters.topic,
        "record": "2:15",
        "stage": "apply",
        "error": "UnusableKeyError",
        "reason": "updated_at is missing",
        "omitted": "",
    }
    assert (second["product_id"], second["version"], second["omitted"]) == ("", "", "value")


def test_what_a_record_says_does_not_reach_the_terminal_as_it_is(env: dict[str, str], letters: Letters) -> None:
    letters.write(0, b"\x1b[31mred[bold]\t\xff", message="[red]reason\x1b[2J\nsecond line\r")

    done = run(LETTERS, env)
    [_, row] = rows(done)
    assert row[2] == r"\x1b[31mred[bold]\t\xff"
    assert row[8] == r"[red]reason\x1b[2J\nsecond line\r"
    shown = run([*LETTERS, "show", "0:0"], env)
    assert "\x1b" not in done.out + shown.out

    table = on_a_terminal(LETTERS, env)
    assert r"[red]reason\x1b[2J\nsecond line" in table
    assert r"red[bold]" in table
    assert "\x1b[31m" not in table
    assert "\x1b[2J" not in table


def test_a_terminal_gets_a_list(env: dict[str, str], letters: Letters) -> None:
    letters.write(0, b"42", stage="apply", class_="UnusableKeyError", version=VERSION)
    table = on_a_terminal(LETTERS, env)
    for cell in ("0:0", "2025-11-22T08:26:40", "42", VERSION, "2:15", "apply: UnusableKeyError: updated_at"):
        assert cell in table


def test_one_letter_is_shown_in_full(env: dict[str, str], letters: Letters) -> None:
    letters.write(0, b"42", b'{"price": "8.90"}\x07\xff')
    letters.write(1, b"42", None, value_omitted="2000000")

    shown = run([*LETTERS, "show", "0:0"], env)
    assert shown.out.splitlines() == [
        "dead letter  0:0, written 2025-11-22T08:26:40Z",
        f"record       partition 2 offset 15 of topic {letters.topic!r}, written 2025-11-22T08:26:40Z",
        "product      42",
        "version      not known",
        "stage        decode",
        "class        InvalidUpdateError",
        "message      updated_at is missing",
        "key          42",
        "headers      1",
        "             trace: \\x00\\xff",
        'value        {"price": "8.90"}\\x07\\xff',
    ]
    assert run([*LETTERS, "show", "0:1"], env).out.splitlines()[-1] == (
        "value        omitted, its 2,000,000 bytes were too large for the dead-letter topic; the record has it"
    )
    told = json.loads(run([*LETTERS, "show", "0:0", "--json"], env).out)
    assert (told["key"], told["headers"], told["omitted"]) == ("42", [["trace", "\x00\\xff"]], {})


def test_a_record_that_is_no_letter_is_listed_and_not_sent_back(env: dict[str, str], letters: Letters) -> None:
    letters.write_record(0, b"k", b"v", [])
    [one] = listed(env)
    assert one["reason"] == "not a dead letter of ours: it has no headers that say why"
    assert run([*LETTERS, "show", "0:0"], env).code == 0
    create_topic(env["KAFKA_BOOTSTRAP_SERVERS"], letters.topic)
    done = run(["replay", "0:0"], env)
    assert (done.code, "is not of topic" in done.complaints[0]) == (1, True)


def test_a_value_that_is_gone_is_told(env: dict[str, str], letters: Letters) -> None:
    letters.write(0, b"42", None, value_omitted="2000000", partition="0")
    create_topic(env["KAFKA_BOOTSTRAP_SERVERS"], letters.topic)
    told = f"at 0:15 of {letters.topic!r}, is gone"
    shown = run([*LETTERS, "show", "0:0", "--value"], env)
    assert (shown.code, shown.out) == (1, "")
    assert told in shown.complaints[0]
    done = run(["replay", "0:0", "--force"], env)
    assert done.code == 1
    assert told in done.complaints[0]


def test_a_letter_that_is_not_there_is_told(env: dict[str, str], letters: Letters) -> None:
    create_topic(env["KAFKA_BOOTSTRAP_SERVERS"], letters.topic)
    for command in ([*LETTERS, "show", "1:7"], ["replay", "1:7"]):
        done = run(command, env)
        assert done.code == 1
        assert "it was never there, or the topic has deleted it" in done.complaints[0]
    assert run(LETTERS, env).complaints == [f"no dead letters in '{letters.topic}-dlt'"]


def test_a_partition_that_there_is_not_is_wrong_usage(env: dict[str, str], letters: Letters) -> None:
    done = run([*LETTERS, "show", "9:0"], env)
    assert (done.code, f"topic '{letters.topic}-dlt' has no partition 9; it has 2" in done.err) == (2, True)


def test_a_missing_topic_and_a_missing_kafka_are_told(env: dict[str, str]) -> None:
    missing = run(LETTERS, env)
    assert (missing.code, f"no topic '{env['LASTWORD_TOPIC']}-dlt'" in missing.err) == (3, True)
    nowhere = env | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "LASTWORD_STARTUP_DEADLINE_S": "0"}
    for command in (LETTERS, ["replay", "--all"]):
        assert run(command, nowhere).code == 3
    redis = nowhere | {
        "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:1/0",
        "CELERY_BROKER_URL": f"redis://:{PASSWORD}@127.0.0.1:1/1",
    }
    assert run(["replay", "--all-records"], redis).code == 3
