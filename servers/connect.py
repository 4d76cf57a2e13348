"""Kafka Connect with a connector of Debezium's, as a child process: standalone, ruled by its REST interface.

A connector that was added is in a file of the directory too: a Connect that is started again goes on with it, and from
the offsets that it has stored.
"""

import http
import http.client
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote

from servers.errors import ServerError
from servers.jars import fetch_jars
from servers.java import java_command
from servers.pins import pinned_version
from servers.ports import LOOPBACK
from servers.server import Server

REST_TIMEOUT_S: Final = 60.0
PROBE_TIMEOUT_S: Final = 5.0
OFFSET_FLUSH_MS: Final = 1_000

Method = Literal["GET", "PUT", "POST", "DELETE"]
Connectors = Literal["connect", "connect-mariadb", "connect-others"]
"""With the connector for PostgreSQL, the one for MariaDB, or those for MySQL, SQL Server and Oracle.

These are the names of their jars in jars.lock.
"""


class ConnectError(ServerError):
    """Connect refuses what it was asked, or a connector has failed; the message is Connect's own."""


class _NotFoundError(ConnectError):
    """Connect does not know what it was asked about, or not yet."""


class Connect(Server):
    """A standalone Kafka Connect that writes to the Kafka at ``kafka``, ``HOST:PORT``."""

    kind: ClassVar[str] = "Kafka Connect"

    def __init__(
        self,
        directory: Path,
        kafka: str,
        *,
        jars: Connectors = "connect",
        port: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(directory, port=port, name=name)
        self._kafka = kafka
        self._jars = jars
        self._connectors = self.directory / "connectors"

    @property
    def version(self) -> str:
        """The version of the pinned jar."""
        return pinned_version(self._jars, "connect-runtime")

    def fetch(self) -> None:
        """Have its jars, and the connector's, on this machine."""
        fetch_jars(self._jars)

    def validate(self, config: Mapping[str, str]) -> dict[str, list[str]]:
        """What is wrong with the value of each option, by the names of all that Connect and the connector know.

        The connector tries to connect, if nothing else is wrong. Of a name that is not known nothing is said.
        """
        kind = config["connector.class"]
        told = self._ask("PUT", f"/connector-plugins/{quote(kind)}/config/validate", dict(config))
        found: dict[str, list[str]] = {}
        for option in told["configs"]:  # one may have no value, and a value that is wrong may have no definition
            value = option["value"] or {"errors": []}
            found[(option["definition"] or value)["name"]] = value["errors"]
        return found

    def add(self, name: str, config: Mapping[str, str]) -> None:
        """Add a connector, or give it another configuration; ConnectError when it is refused."""
        self._ask("PUT", f"/connectors/{quote(name)}/config", dict(config))
        told = json.dumps({"name": name, "config": dict(config)}, indent=2)
        self._file_of(name).write_text(told, encoding="utf-8")

    def remove(self, name: str) -> None:
        """Remove a connector; its slot and its publication stay in the database."""
        self._file_of(name).unlink(missing_ok=True)
        self._ask("DELETE", f"/connectors/{quote(name)}")

    def runs(self, name: str) -> bool:
        """Whether the connector and its task run; ConnectError, with the reason, where one of them has failed."""
        try:
            told = self._ask("GET", f"/connectors/{quote(name)}/status")
        except _NotFoundError:
            return False
        parts = [told["connector"], *told["tasks"]]
        for part in parts:
            if part["state"] == "FAILED":
                raise ConnectError(f"connector {name} has failed: {part.get('trace', '')[:2_000]}")
        return len(parts) > 1 and all(part["state"] == "RUNNING" for part in parts)

    def offsets(self, name: str) -> dict[str, Any]:
        """How far the connector has stored that it is, in its source's own words; nothing before the first time."""
        told = self._ask("GET", f"/connectors/{quote(name)}/offsets")["offsets"]
        return told[0]["offset"] if told else {}

    def renew(self, name: str) -> None:
        """Have Connect begin the connector and its task anew, as ``POST /connectors/NAME/restart`` does."""
        self._ask("POST", f"/connectors/{quote(name)}/restart?includeTasks=true")

    def _file_of(self, name: str) -> Path:
        return self._connectors / f"{name}.json"

    def _prepare(self) -> Sequence[str | Path]:
        jars = fetch_jars(self._jars)
        self._connectors.mkdir(exist_ok=True)
        config = self.directory / "worker.properties"
        lines = (f"{name}={value}\n" for name, value in self._settings().items())
        config.write_text("".join(lines), encoding="utf-8")
        return java_command(
            jars,
            "org.apache.kafka.connect.cli.ConnectStandalone",
            config,
            *sorted(self._connectors.glob("*.json")),
            directory=self.directory,
            heap="512m",
            properties={
                "org.slf4j.simpleLogger.showDateTime": "true",
                "org.slf4j.simpleLogger.dateTimeFormat": "yyyy-MM-dd HH:mm:ss.SSS",
                "org.slf4j.simpleLogger.defaultLogLevel": "warn",
                "org.slf4j.simpleLogger.log.io.debezium": "info",
                "org.slf4j.simpleLogger.log.org.apache.kafka.connect.runtime.Worker": "info",
            },
        )

    def _settings(self) -> dict[str, str | int | Path]:
        converter = "org.apache.kafka.connect.json.JsonConverter"
        return {
            "bootstrap.servers": self._kafka,
            "listeners": f"http://{self.address}",
            "key.converter": converter,
            "value.converter": converter,
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "offset.storage.file.filename": self.directory / "offsets",
            "offset.flush.interval.ms": OFFSET_FLUSH_MS,
            "topic.creation.enable": "true",
            # All is on the class path, and says what it is: no search for plugins through 40 MB of classes.
            "plugin.discovery": "service_load",
        }

    def _answers(self) -> bool:
        try:
            told = self._ask("GET", "/", timeout_s=PROBE_TIMEOUT_S)
        except _NotFoundError:
            return False  # it listens before it knows its own interface
        return bool(told["version"] == self.version)

    def _ask(self, method: Method, path: str, body: object = None, *, timeout_s: float = REST_TIMEOUT_S) -> Any:  # noqa: ANN401 - JSON
        """What Connect answers, read; ConnectError where that is an error, OSError where nobody answers."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=timeout_s)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            kind = _NotFoundError if answer.status == http.HTTPStatus.NOT_FOUND else ConnectError
            raise kind(f"{method} {path}: {answer.status} {_message(content)}")
        return json.loads(content) if content else None


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")


def read_properties(path: Path) -> dict[str, str]:
    """A connector's file, as Connect reads it: ``name=value`` in each line, ``#`` before a remark."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
