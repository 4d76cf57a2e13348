"""Apache Kafka as a child process: one node in KRaft's combined mode, broker and controller in one."""

import logging
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from servers.errors import PortInUseError, StartError
from servers.jars import fetch_jars
from servers.java import java_command
from servers.kafka_security import KafkaSecurity
from servers.pins import pinned_version
from servers.ports import LOOPBACK, accepts, free_port, is_free
from servers.server import Server

LOG4J_FILE = Path(__file__).with_name("log4j2.properties")
NODE_ID = 1
FORMAT_TIMEOUT_S = 60.0

# The client that asks whether the server is up yet would log every refused connection.
silent = logging.getLogger(f"{__name__}.probe")
silent.addHandler(logging.NullHandler())
silent.propagate = False


class Kafka(Server):
    """A single Kafka node; topics are made by those who need them, never by the first who names one.

    ``controller_port``: for Kafka's own use; None draws a free one at each start. ``security``: TLS, passwords and
    ACLs at the address that clients use; None: everybody on this machine may do everything.
    """

    name: ClassVar[str] = "Kafka"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        controller_port: int | None = None,
        security: KafkaSecurity | None = None,
    ) -> None:
        super().__init__(directory, port=port)
        self._security = security
        self._controller_port = controller_port
        self._draws_controller_port = controller_port is None
        self._data = self.directory / "data"

    @property
    def version(self) -> str:
        """The version of the pinned jar."""
        return pinned_version("kafka-server")

    def _prepare(self) -> Sequence[str | Path]:
        jars = fetch_jars("kafka")
        formatted = (self._data / "meta.properties").exists()
        if self._controller_port is None or (self._draws_controller_port and not formatted):
            self._controller_port = free_port()
        elif not is_free(self._controller_port):
            raise PortInUseError(
                f"Kafka's controller cannot listen on port {self._controller_port}: another process has it"
            )
        config = self.directory / "server.properties"
        settings = self._settings(self._controller_port)
        config.touch(mode=0o600)  # a secured Kafka's passwords are in there
        lines = (f"{name}={value}\n".replace("\\", "\\\\") for name, value in settings.items())
        config.write_text("".join(lines), encoding="utf-8")
        if not formatted:
            self._format(jars, config)
        return self._java(jars, "kafka.Kafka", config)

    def _settings(self, controller_port: int) -> dict[str, str | int | Path]:
        protocol = "SASL_SSL" if self._security else "PLAINTEXT"
        return {
            "process.roles": "broker,controller",
            "node.id": NODE_ID,
            "listeners": f"{protocol}://{self.address},CONTROLLER://{LOOPBACK}:{controller_port}",
            "advertised.listeners": f"{protocol}://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller_port}",
            "log.dirs": self._data,
            "auto.create.topics.enable": "false",
            # Kafka's own topics: one replica is all there can be, and 50 partitions each would only slow the start.
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # A group's first member need not wait 3 s for others, nor the cleaner have 128 MiB for a few topics.
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": 10 * 1024 * 1024,
            # A node that was killed may not come back before its last session (9 s by default) has ended.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            **(self._security.settings() if self._security else {}),
        }

    def _format(self, jars: Sequence[Path], config: Path) -> None:
        """Make the data directory Kafka's, with a cluster id of its own, by which ``_answers`` knows this server."""
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        # The cluster id may begin with a dash, hence the equals sign.
        arguments: list[str | Path] = ["format", "--standalone", f"--cluster-id={cluster_id}", "--config", config]
        arguments += self._security.format_arguments() if self._security else ()
        command = self._java(jars, "kafka.tools.StorageTool", *arguments)
        try:
            with self.log_file.open("ab") as log:
                subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=FORMAT_TIMEOUT_S,
                    check=True,
                )
        except subprocess.SubprocessError as error:
            raise StartError(self._report("its data directory could not be formatted")) from error

    def _java(self, jars: Sequence[Path], main: str, *arguments: str | Path) -> list[str | Path]:
        properties = {"log4j2.configurationFile": LOG4J_FILE, "kafka.logs.dir": self.directory}
        return java_command(jars, main, *arguments, directory=self.directory, heap="512m", properties=properties)

    def _answers(self) -> bool:
        if not accepts(self.port):  # librdkafka would back off and try again only later.
            return False
        security = self._security.client(self._security.admin) if self._security else {}
        probe = AdminClient({"bootstrap.servers": self.address, **security}, logger=silent)
        try:
            metadata = probe.list_topics(timeout=2.0)
        except KafkaException:
            return False
        return NODE_ID in metadata.brokers and metadata.cluster_id == self._cluster_id()

    def _cluster_id(self) -> str:
        lines = (self._data / "meta.properties").read_text(encoding="utf-8").splitlines()
        return next(value for name, _, value in (line.partition("=") for line in lines) if name == "cluster.id")
