"""``python -m servers`` as a person uses it, from one shell and another."""

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from servers.ports import HIGHEST, LOWEST, free_port, is_free
from tests.waiting import wait_until
from tests.worker_helpers import REPOSITORY

SERVER_PROGRAMS = {"java", "valkey-server", "beam.smp", "epmd"}
CLUSTER_PORTS = {
    "kafka": 0,
    "kafka-controller": 1,
    "zookeeper": 6,
    "zookeeper-quorum": 9,
    "zookeeper-election": 12,
    "redis": 15,
    "rabbitmq": 17,
}
"""How far from the first of a block of free ports; the neighbours are taken too."""


@dataclass(frozen=True)
class Row:
    """A server as the table of `status` shows it."""

    version: str
    address: str
    pid: str
    role: str
    state: str
    memory: str


class Terminal:
    """``python -m servers up`` as a person has it in one shell, and other commands in another, in one directory."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.environment = {**os.environ, "COLUMNS": "200", **environment}
        self.ports = {name: free_port() for name in ("kafka", "kafka-controller", "zookeeper", "redis")}
        self.more: list[str] = []
        self.output = directory.with_suffix(".out")
        self.up: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as output:
            self.up = self._popen(self.up_arguments, output)
        wait_until(self.is_up, what="`python -m servers up`")
        return self.up

    @property
    def up_arguments(self) -> list[str]:
        ports = (part for name, port in self.ports.items() for part in (f"--{name}-port", str(port)))
        return ["up", *ports, *self.more]

    def use_cluster(self, *more: str) -> None:
        """From now on, ``up`` is ``up --cluster``."""
        first = free_block(max(CLUSTER_PORTS.values()) + 1)
        self.ports = {name: first + further for name, further in CLUSTER_PORTS.items()}
        self.more = ["--cluster", *more]

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
            timeout=180,
            check=False,
        )

    def status(self) -> dict[str, Row]:
        """The rows of the table, by the server's name."""
        lines = self.run("status").stdout.splitlines()
        cells = ([cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│"))
        return {name: Row(*row) for name, *row in cells}

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


def free_block(size: int) -> int:
    """The first of so many ports in a row that nobody listens on."""
    while True:
        first = random.randrange(LOWEST, HIGHEST - size)
        if all(map(is_free, range(first, first + size))):
            return first
