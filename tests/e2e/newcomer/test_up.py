"""What ``make up`` runs: servers, worker, bridge and Flower; and that Ctrl-C leaves nothing behind."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from servers.ports import free_port, is_free
from tests.commands import PUBLISH, change, clean_env, run
from tests.flower_helpers import http_get
from tests.waiting import gone, wait_until
from tests.worker_helpers import REPOSITORY

UP = [sys.executable, "-m", "examples.up"]


@dataclass(frozen=True)
class Up:
    process: subprocess.Popen[bytes]
    log_file: Path
    flower_port: int

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        def said() -> bool:
            assert text in self.log or self.process.poll() is None, self.log
            return text in self.log

        wait_until(said, what=text)

    def environment(self) -> dict[str, str]:
        """The addresses it tells people to export."""
        return dict(re.findall(r"^export (\w+)=(\S+)$", self.log, re.MULTILINE))


@contextmanager
def servers_and(command: list[str], directory: Path, **settings: str) -> Iterator[Up]:
    """``python -m servers up -- command`` on free ports; killed, with all that it started, on exit."""
    ports = [free_port() for _ in range(5)]
    names = ("--kafka-port", "--kafka-controller-port", "--zookeeper-port", "--redis-port")
    options = [part for name, port in zip(names, ports, strict=False) for part in (name, str(port))]
    log_file = directory / "up.log"
    own = {"XDG_STATE_HOME": str(directory / "state"), "FLOWER_PORT": str(ports[-1])}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "servers",
                "up",
                "--directory",
                str(directory / "servers"),
                *options,
                "--",
                *command,
            ],
            cwd=REPOSITORY,
            env=clean_env(own | settings),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Up(process, log_file, ports[-1])
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for child in children:
            child.kill()
        process.wait()


def test_a_change_is_published_and_read_and_ctrl_c_stops_everything_in_order(tmp_path: Path) -> None:
    with servers_and(UP, tmp_path) as up:
        up.wait_for("All is up")
        [login] = re.findall(r"user (\S+), password (\S+)", up.log)
        assert http_get(up.flower_port, "/api/tasks")[0] == 401
        assert http_get(up.flower_port, "/api/tasks", ":".join(login))[0] == 200
        assert f"http://127.0.0.1:{up.flower_port}" in up.log
        addresses = up.environment()
        assert run([*PUBLISH, "-"], addresses, stdin=change("42")).code == 0
        with redis.Redis.from_url(addresses["REDIS_URL"]) as client:
            wait_until(lambda: client.hget("product:42", "data"), what="the change in Redis")
        children = psutil.Process(up.process.pid).children(recursive=True)
        assert len(children) > 6

        up.process.send_signal(signal.SIGINT)

        assert up.process.wait(120) == 0
        assert not [child for child in children if not gone(child.pid)]
        assert "Traceback" not in up.log
        order = re.findall(r"(\w+) stopped \(rc=(\d+)\)|(Stopping the servers)", up.log)
        assert order == [
            ("bridge", "0", ""),
            ("worker", "0", ""),
            ("flower", "0", ""),
            ("", "", "Stopping the servers"),
        ]


def test_a_process_that_ends_takes_the_others_and_the_servers_with_it(tmp_path: Path) -> None:
    with servers_and(UP, tmp_path, LASTWORD_TOPIC="no topic") as up:
        assert up.process.wait(120) == 2, up.log
        assert "setting LASTWORD_TOPIC" in up.log
        assert "worker stopped" in up.log
        assert "flower stopped" in up.log


def test_the_servers_end_with_the_command_beside_them_and_with_its_exit_code(tmp_path: Path) -> None:
    told = [sys.executable, "-c", "import os, sys; print(os.environ['REDIS_URL']); sys.exit(7)"]
    with servers_and(told, tmp_path) as up:
        assert up.process.wait(120) == 7
        assert up.environment()["REDIS_URL"] in up.log.splitlines()


def test_a_command_that_does_not_exist_is_one_line_and_the_servers_are_gone(tmp_path: Path) -> None:
    with servers_and(["no-such-command"], tmp_path) as up:
        assert up.process.wait(120) == 1
        assert "no-such-command" in up.log.splitlines()[-1]
        assert "Traceback" not in up.log
        port = up.environment()["KAFKA_BOOTSTRAP_SERVERS"].rpartition(":")[2]
        assert is_free(int(port))
