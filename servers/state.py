"""What ``up`` leaves for ``status`` and ``down`` in another shell: which processes are its own."""

import json
import os
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from servers.errors import ServerError
from servers.filelock import write_whole
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
    """One server as ``up`` started it; without a process it was stopped by its name."""

    name: str
    kind: str
    version: str
    address: str
    log_file: str
    process: Process | None

    @classmethod
    def of(cls, server: Server) -> Self:
        """The state of a running server."""
        return cls(
            server.name, server.kind, server.version, server.address, str(server.log_file), Process.of(server.pid)
        )

    def renewed(self, server: Server) -> Self:
        """The state of the same server with the process that it has now, if it has one."""
        started = start_mark(server.pid) if server.running else None
        return replace(self, process=Process(server.pid, started) if started else None)

    @property
    def directory(self) -> Path:
        """Where the server keeps all that it has."""
        return Path(self.log_file).parent

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
        return (self.up, *(server.process for server in self.servers if server.process))

    def renewed(self, servers: Iterable[Server]) -> Self:
        """The state with the processes that the same servers have now."""
        return replace(
            self, servers=tuple(old.renewed(server) for old, server in zip(self.servers, servers, strict=True))
        )

    def write(self, directory: Path) -> None:
        """Replace the state file of ``directory``, never leaving half of one."""
        write_whole(directory / FILE_NAME, json.dumps(asdict(self), indent=2))


def read_state(directory: Path) -> State | None:
    """The state that ``up`` left in ``directory``; None when there is none. ServerError when it is not readable."""
    path = directory / FILE_NAME
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        servers = (
            ServerState(**{**server, "process": server["process"] and Process(**server["process"])})
            for server in stored["servers"]
        )
        return State(Process(**stored["up"]), tuple(servers))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{path} is not the state file of `python -m servers up`: {error!r}") from error


def remove_state(directory: Path) -> None:
    """Remove the state file of ``directory``, if there is one."""
    (directory / FILE_NAME).unlink(missing_ok=True)
