"""ZooKeeper as a child process."""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from servers.jars import fetch_jars
from servers.java import java_command
from servers.pins import pinned_version
from servers.ports import LOOPBACK
from servers.server import Server

DEFAULT_TICK_MS = 1000


@dataclass(frozen=True)
class Tls:
    """What a server with TLS needs: two files, in PEM format and named ``.pem``.

    ``certificate`` holds its private key (PKCS #8) and its certificate; ``authority`` what certificates of clients come
    from, which it asks for only where ``mutual``.
    """

    certificate: Path
    authority: Path
    mutual: bool = False


class ZooKeeper(Server):
    """A standalone ZooKeeper; ``tick_ms`` bounds what a client may ask for as its session timeout: 2 to 20 ticks.

    With ``tls`` its only port speaks TLS. ``settings`` are further lines of zoo.cfg.
    """

    kind: ClassVar[str] = "ZooKeeper"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        tick_ms: int = DEFAULT_TICK_MS,
        tls: Tls | None = None,
        settings: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(directory, port=port, name=name)
        self._tls = tls
        self._more_settings = settings or {}
        self._tick_ms = tick_ms
        self._data = self.directory / "data"

    @property
    def version(self) -> str:
        """The version of the pinned jar."""
        return pinned_version("zookeeper", "zookeeper")

    def fetch(self) -> None:
        """Have its jars on this machine."""
        fetch_jars("zookeeper")

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
            **self._port_settings(),
            "tickTime": self._tick_ms,
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "srvr, conf, mntr, dump",
            **self._more_settings,
        }

    def _port_settings(self) -> dict[str, str | int | Path]:
        if self._tls is None:
            return {"clientPort": self.port, "clientPortAddress": LOOPBACK}
        return {
            "secureClientPort": self.port,
            "secureClientPortAddress": LOOPBACK,
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",  # the default has no TLS
            "ssl.keyStore.location": self._tls.certificate,
            "ssl.trustStore.location": self._tls.authority,
            "ssl.clientAuth": "need" if self._tls.mutual else "none",
        }

    def _answers(self) -> bool:
        # Not `ruok`: it says imok while requests are still refused. https://zookeeper.apache.org/doc/r3.9.5/zookeeperAdmin.html
        return mode_in(self._ask("srvr")) is not None and f"dataDir={self._data}/" in self._ask("conf")

    def _ask(self, word: str) -> str:
        with self._connection() as connection:
            return ask(connection, word)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        with socket.create_connection((LOOPBACK, self.port), timeout=2.0) as plain:
            if self._tls is None:
                yield plain
                return
            # Whoever it says it is: its data directory, in the answer, tells that it is this server.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.load_cert_chain(self._tls.certificate)
            with context.wrap_socket(plain) as encrypted:
                yield encrypted


def ask(connection: socket.socket, word: str) -> str:
    """The answer to one of ZooKeeper's four letter words; the server closes the connection."""
    connection.sendall(word.encode())
    return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def mode_in(answer: str) -> str | None:
    """``leader``, ``follower`` or ``standalone``, from the answer to ``srvr``; None while the server serves nobody."""
    return next((line.removeprefix("Mode: ") for line in answer.splitlines() if line.startswith("Mode: ")), None)
