"""`make bench`, tiny: every row is there, everybody's result is right, nothing stays behind. No figure is judged."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import redis

from benchmarks.article import is_possible
from servers.rabbitmq import is_installed
from tests.commands import REPOSITORY, clean_env
from tests.waiting import wait_until

BENCH = [sys.executable, "-m", "benchmarks", "--quick"]


def bench(given: dict[str, str], results: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """What is in the file of results, and what was printed."""
    command = [*BENCH, "--results", str(results), *arguments]
    run = subprocess.run(command, cwd=REPOSITORY, env=clean_env(given), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    [file] = results.iterdir()
    with redis.Redis.from_url(given["REDIS_URL"]) as cache:
        assert cache.dbsize() == 0
    stored: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return stored, run.stdout


def test_every_contender_carries_a_load_and_the_pipeline_each(given: dict[str, str], tmp_path: Path) -> None:
    stored, said = bench(given, tmp_path / "results", "--section", "peers")
    [only_round] = stored["peers"]["rounds"]
    batched = "pipeline, 200 updates a task"
    contenders = ["pipeline", batched, "no-op task", "plain consumer", "naive version"]
    processes = [{"worker", "bridge"}, {"worker", "bridge"}, {"worker"}, {"consumer"}, {"worker", "consumer"}]
    if is_installed():
        contenders.append("pipeline, RabbitMQ")
        processes.append({"worker", "bridge"})
    if is_possible():
        contenders += ["article in Java, commit per record", "article in Java, commit per poll"]
        processes += [{"program"}, {"program"}]
    again = [name for name in contenders if name.startswith("pipeline")]
    assert [(one["load"], one["contender"]) for one in only_round] == [
        *(("uniform", name) for name in contenders),
        *(("hot", name) for name in again),
    ]
    expected_processes = [*processes, *([{"worker", "bridge"}] * len(again))]
    for one, expected in zip(only_round, expected_processes, strict=True):
        assert one["updates"] == {batched: 2_000, "plain consumer": 2_000, "naive version": 50}.get(
            one["contender"], 200
        )
        assert one["seconds"] > 0
        assert one["wrong"] == (None if one["contender"] == "no-op task" else 0)
        assert one["usage"].keys() == expected
        assert all(usage["memory_mib"] > 1 for usage in one["usage"].values())
        if one["contender"].startswith("pipeline"):
            assert one["committed_s"] >= one["seconds"]
            assert one["transactions"] > 0
        assert f"{one['contender']}, {one['load']}: " in said


def test_latency_growth_and_scaling_are_measured(given: dict[str, str], tmp_path: Path) -> None:
    sections = [part for name in ("latency", "growth", "scaling") for part in ("--section", name)]
    stored, said = bench(given, tmp_path / "results", *sections)
    assert [one["rate"] for one in stored["latency"]] == [100, 1_000]
    for one in stored["latency"]:
        assert 0 < one["p50_ms"] <= one["p99_ms"] <= one["most_ms"]
        assert one["usage"].keys() == {"worker", "bridge"}
    [growth] = stored["growth"]["rounds"]
    assert [one["updates"] for one in growth] == [600, 2_000]
    [scaling] = stored["scaling"]["rounds"]
    assert len(scaling) == 4
    assert scaling[-1]["usage"].keys() == {"worker", "worker 2", "bridge", "bridge 2"}
    assert all(one["wrong"] == 0 for one in (*growth, *scaling))
    assert "p50 ms" in said


def test_modes_are_compared_with_the_default(given: dict[str, str], tmp_path: Path) -> None:
    stored, said = bench(given, tmp_path / "results", "--modes", "--only", "ack_emulation, acks_late")
    [only_round] = stored["modes"]["rounds"]
    assert [one["load"] for one in only_round if one["contender"] == "default"] == ["uniform", "hot"]
    assert {one["contender"] for one in only_round} == {"default", "default, ack_emulation, acks_late"}
    assert all(one["wrong"] == 0 for one in only_round)
    assert "default, uniform: " in said


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    log = tmp_path / "said"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*BENCH, "--updates", "10000"], cwd=REPOSITORY, env=clean_env({}), stdout=output, stderr=subprocess.STDOUT
        )
    children: list[psutil.Process] = []

    def working() -> bool:
        children[:] = psutil.Process(process.pid).children(recursive=True)
        return any("bridge" in command_of(child) for child in children)

    try:
        wait_until(working, what="a bridge")
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130, log.read_text(encoding="utf-8")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(120)
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert not [command for child in children if (command := command_of(child))]


def command_of(process: psutil.Process) -> list[str]:
    """Its command line; empty when it has ended, be it in the middle of the question."""
    try:
        return process.cmdline() if process.is_running() and process.status() != psutil.STATUS_ZOMBIE else []
    except psutil.NoSuchProcess:
        return []
