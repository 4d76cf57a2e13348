"""``lastword publish`` as a process: from a file, from standard input, and on its bad days."""

import os
import signal
from pathlib import Path

import pytest

from servers import Reachable, ReachableRedis
from tests.commands import PUBLISH, change, run, running, working_env
from tests.kafka_helpers import read
from tests.waiting import wait_until


@pytest.fixture
def env(
    kafka_server: Reachable, redis_server: ReachableRedis, zookeeper_server: Reachable, topic: str, group: str
) -> dict[str, str]:
    return working_env(kafka_server, redis_server, zookeeper_server, topic, group)


def published(env: dict[str, str], count: int) -> list[tuple[bytes | None, bytes | None]]:
    found = read(env["KAFKA_BOOTSTRAP_SERVERS"], env["LASTWORD_TOPIC"], count)
    return [(message.key(), message.value()) for message in found]


@pytest.mark.core
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


def test_ctrl_c_while_publishing_ends_it(env: dict[str, str], tmp_path: Path) -> None:
    fifo = tmp_path / "changes"
    os.mkfifo(fifo)
    with running([*PUBLISH, str(fifo)], env, tmp_path) as process, fifo.open("wb", buffering=0) as changes:
        changes.write(f"{change('1')}\n".encode())
        wait_until(lambda: read(env["KAFKA_BOOTSTRAP_SERVERS"], env["LASTWORD_TOPIC"], 1), what="the first record")
        ended = process.end(signal.SIGINT)
    assert ended.code == 130
    where, interrupted = ended.complaints
    assert where.startswith(f"stopped at line 1: 1 records are surely published to '{env['LASTWORD_TOPIC']}'")
    assert interrupted == "interrupted"


def test_a_closed_standard_input_is_one_line(env: dict[str, str]) -> None:
    close = "import os, sys; os.close(0); os.execv(sys.executable, [sys.executable, '-m', 'bridge', 'publish', '-'])"
    closed = run(["-c", close], env)
    assert closed.code == 1
    assert "lastword: standard input cannot be read" in closed.err


def test_with_another_format_nothing_is_published_that_the_bridge_would_not_read(env: dict[str, str]) -> None:
    debezium = env | {"LASTWORD_FORMAT": "debezium"}
    refused = run(PUBLISH, debezium, stdin=change("1"))
    assert refused.code == 2
    (line,) = refused.complaints
    assert "LASTWORD_FORMAT: given 'debezium'" in line
    assert run([*PUBLISH, "--unchecked", "-"], debezium, stdin=change("1")).code == 0
    assert len(published(env, 1)) == 1


def test_a_check_names_every_invalid_line_and_needs_no_server() -> None:
    stdin = f"{change('1')}\n\n{change('2', updated_at=1_763_800_000)}\n{{\n{change('3')}\n"
    check = [*PUBLISH, "--check", "-"]

    refused = run(check, {}, stdin=stdin)
    good = run(check, {}, stdin=change("1"))
    both = run([*check, "--unchecked"], {}, stdin=stdin)

    assert (refused.code, refused.out) == (1, "")
    third, fourth, count = refused.complaints
    assert third.startswith("line 3: ")
    assert "milliseconds" in third
    assert fourth.startswith("line 4: the value is not JSON")
    assert count == "2 of 4 lines are invalid; nothing was published"
    assert (good.code, good.out, good.err) == (0, "1 line, each of them valid; nothing was published\n", "")
    assert (both.code, "exclude each other" in both.err) == (2, True)
