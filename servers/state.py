"""What ``up`` leaves for ``status`` and ``down`` in another shell: which processes are its own."""

import json
import os
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from servers.errors import ServerError
from servers.process import start_mark
from servers.server import Server

FILE_NAME = "servers.json"


@dataclass(frozen=True)
class Process:
    """One process for good: an id may be given out again, an id with the time of its start may not."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has this id now; ServerError when there is none."""
        started = start_mark(pid)
        if started is None:
            raise ServerError(f"There is no process {pid}")
        return cls(pid, started)

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_mark(self.pid) == self.started

    def send(self, signal_number: signal.Signals) -> None:
        """Send it a signal; does nothing once it has ended, whoever may have its id by now."""
        if self.alive:
            try:
                os.kill(self.pid, signal_number)
            except ProcessLookupError:
                return


@dataclass(frozen=True)
class ServerState:
    """One server as ``up`` started it."""

    name: str
    version: str
    address: str
    log_file: str
    process: Process

    @classmethod
    def of(cls, server: Server) -> Self:
        """The state of a running server."""
        return cls(server.name, server.version, server.address, str(server.log_file), Process.of(server.pid))

    @property
    def port(self) -> int:
        """The port of its address."""
        return int(self.address.rpartition(":")[2])


@dataclass(frozen=True)
class State:
    """The process that runs ``up`` and its servers; none while they are being started."""

    up: Process
    servers: tuple[ServerState, ...] = ()

    @classmethod
    def of(cls, servers: Iterable[Server]) -> Self:
        """The state to leave for others; this process is the one that runs ``up``."""
        return cls(Process.of(os.getpid()), tuple(ServerState.of(server) for server in servers))

    @property
    def processes(self) -> tuple[Process, ...]:
        """All of them, first the one that stops the others when it is told to stop."""
        return (self.up, *(server.process for server in self.servers))

    def write(self, directory: Path) -> None:
        """Replace the state file of ``directory``, never leaving half of one."""
        half = directory / f".{FILE_NAME}.{os.getpid()}"
        half.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        half.replace(directory / FILE_NAME)


def read_state(directory: Path) -> State | None:
    """The state that ``up`` left in ``directory``; None when there is none. ServerError when it is not readable."""
    path = directory / FILE_NAME
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        servers = (ServerState(**{**server, "process": Process(**server["process"])}) for server in stored["servers"])
        return State(Process(**stored["up"]), tuple(servers))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{path} is not the state file of `python -m servers up`: {error!r}") from error


def remove_state(directory: Path) -> None:
    """Remove the state file of ``directory``, if there is one."""
    (directory / FILE_NAME).unlink(missing_ok=True)
