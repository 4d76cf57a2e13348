"""RabbitMQ as a child process, where the system's packages have it."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from kombu import Connection
from kombu.exceptions import OperationalError

from servers.errors import ServerError
from servers.ports import accepts, free_port
from servers.server import Server

# The `rabbitmq-server` on the PATH is, on Debian, a wrapper that changes to the user of the system's own service.
PROGRAMS = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), shutil.which("rabbitmq-server"))

CONTROL_TIMEOUT_S = 60.0

# epmd, which names Erlang's nodes, would go into the background and stay: here it is a child like any other.
COMMAND = 'epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" & exec "$0"'

QUIET = "+sbwt none +sbwtdcpu none +sbwtdio none"


class RabbitMQ(Server):
    """A standalone RabbitMQ with a node, a cookie and an epmd of its own; never the system's service."""

    kind: ClassVar[str] = "RabbitMQ"

    def __init__(self, directory: Path, *, port: int | None = None, name: str | None = None) -> None:
        super().__init__(directory, port=port, name=name)
        self._node: dict[str, str] = {}

    @property
    def url(self) -> str:
        """``amqp://guest:guest@127.0.0.1:PORT//``."""
        return f"amqp://guest:guest@{self.address}//"

    @property
    def version(self) -> str:
        """The running server's version."""
        with Connection(self.url, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1)
            return str(connection.connection.server_properties["version"])

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` answers about this server; ServerError with its complaint when it refuses."""
        program = find_rabbitmq().with_name("rabbitmqctl")
        try:
            done = subprocess.run(
                [program, "--quiet", *arguments],
                env={**os.environ, "LC_ALL": "C.UTF-8", **self._node},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=CONTROL_TIMEOUT_S,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            raise ServerError(f"rabbitmqctl {' '.join(arguments)}: {error.stderr.strip()}") from error
        return done.stdout

    def _prepare(self) -> Sequence[str | Path]:
        config, plugins = self.directory / "rabbitmq.conf", self.directory / "enabled_plugins"
        config.write_text(f"listeners.tcp.default = {self.address}\nlog.console = true\n", encoding="utf-8")
        plugins.write_text("[].\n", encoding="utf-8")
        settings: dict[str, str | int | Path] = {
            "HOME": self.directory,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": free_port(),
            "RABBITMQ_BASE": self.directory,
            "RABBITMQ_NODENAME": f"lastword-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_CONFIG_FILE": config,
            "RABBITMQ_CONF_ENV_FILE": self.directory / "none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": plugins,
            "RABBITMQ_MNESIA_BASE": self.directory / "mnesia",
            "RABBITMQ_LOG_BASE": self.directory / "log",
            # By itself Erlang spins for a while when it has nothing to do: here others want the machine's few cores.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": QUIET,
            "RABBITMQ_CTL_ERL_ARGS": QUIET,
            # Otherwise the child is a shell that waits for Erlang, and to pause or kill it leaves the server as it is.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        self._node = {name: str(value) for name, value in settings.items()}
        given = (f"{name}={value}" for name, value in self._node.items())
        return ["/usr/bin/env", *given, "/bin/sh", "-c", COMMAND, find_rabbitmq()]

    def _answers(self) -> bool:
        if not accepts(self.port):
            return False
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.ensure_connection(max_retries=1, interval_start=0)
        except OperationalError:
            return False
        return True


def is_installed() -> bool:
    """Whether there is a RabbitMQ to start."""
    return any(program and Path(program).exists() for program in PROGRAMS)


def find_rabbitmq() -> Path:
    """The program; ServerError when RabbitMQ is not installed."""
    for program in PROGRAMS:
        if program and Path(program).exists():
            return Path(program)
    raise ServerError("RabbitMQ is not installed: it comes from the system's packages")
