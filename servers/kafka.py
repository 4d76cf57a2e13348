"""Apache Kafka as a child process: one node in KRaft's combined mode, broker and controller in one."""

import logging
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from servers.errors import StartError
from servers.identity import kafka_id, refuse_foreign_kafka, stored_in_kafka
from servers.jars import fetch_jars
from servers.java import java_command
from servers.kafka_security import KafkaSecurity
from servers.pins import pinned_version
from servers.ports import LOOPBACK, accepts, free_port
from servers.server import Server

LOG4J_FILE = Path(__file__).with_name("log4j2.properties")
DATA = "data"
"""Where in a node's directory its data is."""
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

    kind: ClassVar[str] = "Kafka"
    node_id = NODE_ID

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        controller_port: int | None = None,
        security: KafkaSecurity | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(directory, port=port, name=name)
        self._security = security
        self._controller_port = controller_port
        self._draws_controller_port = controller_port is None
        self._data = self.directory / DATA

    @property
    def version(self) -> str:
        """The version of the pinned jar."""
        return pinned_version("kafka", "kafka-server")

    def fetch(self) -> None:
        """Have its jars on this machine."""
        fetch_jars("kafka")

    def check_data(self) -> None:
        """Raise IdentityError when the data is another node's, or another cluster's."""
        refuse_foreign_kafka(self.name, self._data, self._identity())

    def _prepare(self) -> Sequence[str | Path]:
        jars = fetch_jars("kafka")
        formatted = bool(stored_in_kafka(self._data))
        if self._controller_port is None or (self._draws_controller_port and not formatted):
            self._controller_port = free_port()
        else:
            self._need_free(self._controller_port, "its controller")
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
            "node.id": self.node_id,
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
            # With group.protocol=consumer it is not the client that says how soon a member that was killed is gone.
            "group.consumer.session.timeout.ms": 6000,
            "group.consumer.min.session.timeout.ms": 6000,
            "group.consumer.heartbeat.interval.ms": 500,
            "group.consumer.min.heartbeat.interval.ms": 500,
            "log.cleaner.dedupe.buffer.size": 10 * 1024 * 1024,
            # Nor need its log of metadata grow twice a second while nothing happens: a third of what it takes idle.
            "metadata.max.idle.interval.ms": 0,
            # A node that was killed may not come back before its last session (9 s by default) has ended.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            **(self._security.settings() if self._security else {}),
        }

    def _identity(self) -> dict[str, str]:
        """What the data directory's ``meta.properties`` must say for it to be this node's."""
        return {"node.id": str(self.node_id)}

    def _format_arguments(self) -> list[str]:
        """The cluster id, here one of its own, by which ``_answers`` knows this server; and who the controllers are."""
        # The cluster id may begin with a dash, hence the equals sign.
        return ["--standalone", f"--cluster-id={kafka_id(uuid.uuid4())}"]

    def _format(self, jars: Sequence[Path], config: Path) -> None:
        """Make the data directory Kafka's."""
        arguments: list[str | Path] = ["format", *self._format_arguments(), "--config", config]
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
        return self.node_id in metadata.brokers and metadata.cluster_id == stored_in_kafka(self._data).get("cluster.id")
