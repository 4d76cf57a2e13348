"""ZooKeeper as a child process."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from servers.jars import fetch_jars
from servers.java import java_command
from servers.pins import pinned_version
from servers.ports import LOOPBACK
from servers.server import Server

DEFAULT_TICK_MS = 1000


class ZooKeeper(Server):
    """A standalone ZooKeeper; ``tick_ms`` bounds what a client may ask for as its session timeout: 2 to 20 ticks."""

    name: ClassVar[str] = "ZooKeeper"

    def __init__(self, directory: Path, *, port: int | None = None, tick_ms: int = DEFAULT_TICK_MS) -> None:
        super().__init__(directory, port=port)
        self._tick_ms = tick_ms
        self._data = self.directory / "data"

    @property
    def version(self) -> str:
        """The version of the pinned jar."""
        return pinned_version("zookeeper")

    def _prepare(self) -> Sequence[str | Path]:
        jars = fetch_jars("zookeeper")
        config = self.directory / "zoo.cfg"
        config.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()), encoding="utf-8")
        return java_command(
            jars,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            config,
            directory=self.directory,
            heap="256m",
            properties={
                "org.slf4j.simpleLogger.showDateTime": "true",
                "org.slf4j.simpleLogger.dateTimeFormat": "yyyy-MM-dd HH:mm:ss.SSS",
            },
        )

    def _settings(self) -> dict[str, str | int | Path]:
        return {
            "dataDir": self._data,
            "clientPort": self.port,
            "clientPortAddress": LOOPBACK,
            "tickTime": self._tick_ms,
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "srvr, conf, mntr, dump",
        }

    def _answers(self) -> bool:
        # Not `ruok`: it says imok while requests are still refused. https://zookeeper.apache.org/doc/r3.9.5/zookeeperAdmin.html
        return "Mode:" in self._ask("srvr") and f"dataDir={self._data}/" in self._ask("conf")

    def _ask(self, command: str) -> str:
        """The answer to one of ZooKeeper's four letter words."""
        with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as connection:
            connection.sendall(command.encode())
            return b"".join(iter(lambda: connection.recv(4096), b"")).decode()
