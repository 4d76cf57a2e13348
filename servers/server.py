"""What the three servers have in common: one child process, one address, one directory, one log."""

import contextlib
import logging
import os
import re
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from servers.errors import PortInUseError, ServerError, StartError
from servers.ports import LOOPBACK, free_port, is_free
from servers.process import Child

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 10.0
READY_INTERVAL_S = 0.02
PORT_DRAWS = 5
LOG_LINES = 20


class Server(ABC):
    """A real server as a child process of this one, on 127.0.0.1, with all its state in ``directory``.

    ``port``: listen there; None draws a free one, and another when somebody else was faster. A server that is started
    again keeps its port and its data. As a context manager it is started and stopped. It ends with this process,
    however that ends. Not for use by several threads at once. ``name``: what it is called among several of its kind.
    """

    kind: ClassVar[str]

    def __init__(self, directory: Path, *, port: int | None = None, name: str | None = None) -> None:
        self.name = name or self.kind
        self.directory = directory.absolute()
        self.log_file = self.directory / "server.log"
        self._wanted_port = port
        self._port = port
        self._child: Child | None = None
        self._wanted = False
        self._log_start = 0

    @abstractmethod
    def _prepare(self) -> Sequence[str | Path]:
        """Write what the server reads at its start into ``directory``; return the command that starts it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether *this* server, not another one on its port, answers clients; OSError or False while it does not."""

    @property
    @abstractmethod
    def version(self) -> str:
        """The server's version, such as ``3.9.5``."""

    @property
    def port(self) -> int:
        """The port; before the first start of a server that draws its own, ServerError."""
        if self._port is None:
            raise ServerError(f"{self.name} has no port yet: it draws one when it starts")
        return self._port

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``, as clients want it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id; ServerError when it has not been started."""
        return self._started.pid

    @property
    def running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self._child is not None and self._child.exit_code is None

    @property
    def ended_by_itself(self) -> bool:
        """Whether the process is gone though nobody here stopped or killed it."""
        return self._wanted and not self.running

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the server; it answers clients on return.

        Raises PortInUseError when the port it was given is taken, StartError when it does not come up.
        """
        self.launch()
        self.wait_ready(timeout_s=timeout_s)

    def launch(self) -> None:
        """Start the process and return at once: with ``wait_ready``, several servers come up side by side."""
        if self.running:
            raise ServerError(f"{self.name} is running already, at {self.address} with pid {self.pid}")
        self.check_data()
        self._take_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        command = self._prepare()
        self._child = Child(
            command, directory=self.directory, log_file=self.log_file, environment={**os.environ, "LC_ALL": "C"}
        )
        self._wanted = True
        logger.debug("Launched %s, pid %s, log %s", self.name, self.pid, self.log_file)

    def fetch(self) -> None:  # noqa: B027 - most servers' programs are installed
        """Have its program on this machine; a long download the first time."""

    def check_data(self) -> None:  # noqa: B027 - most servers take the data they find for theirs
        """Raise IdentityError when the directory holds the data of another server."""

    def wait_ready(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the launched server answers clients; StartError, the process gone, when it does not."""
        if not self.comes_up(timeout_s=timeout_s):
            self.kill()
            raise StartError(self._report(f"no answer within {timeout_s:g} s"))

    def comes_up(self, *, timeout_s: float) -> bool:
        """Wait until the launched server answers; False, and it goes on, when it does not. StartError when it ended."""
        deadline = time.monotonic() + timeout_s
        draws = 1
        while not self._is_ready():
            if self._lost_its_port() and draws < PORT_DRAWS:
                draws += 1
                self._redraw()
            elif not self.running:
                exit_code = self._started.exit_code
                self.kill()
                raise StartError(self._report(f"it exited with code {exit_code}"))
            elif time.monotonic() > deadline:
                return False
            time.sleep(READY_INTERVAL_S)
        return True

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Shut the server down in order (SIGTERM), after ``timeout_s`` by SIGKILL; stopped already: no effect."""
        self._wanted = False
        if self._child is not None:
            self._child.stop(timeout_s)

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would; stopped already: no effect."""
        self._wanted = False
        if self._child is not None:
            self._child.kill()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): its connections stay open and nothing is answered until ``resume``."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._send(signal.SIGCONT)

    def restart(self) -> None:
        """Stop the server if it runs, and start it on the same port with the same data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def _started(self) -> Child:
        if self._child is None:
            raise ServerError(f"{self.name} has not been started")
        return self._child

    def _send(self, signal_number: signal.Signals) -> None:
        if not self.running:
            raise ServerError(f"{self.name} does not run")
        self._started.send(signal_number)

    def _take_port(self) -> None:
        if self._port is None:
            self._port = free_port()
        else:
            self._need_free(self._port)

    def _need_free(self, port: int, purpose: str = "") -> None:
        if not is_free(port):
            what = f"{LOOPBACK}:{port}{purpose and f' for {purpose}'}"
            raise PortInUseError(f"{self.name} cannot listen on {what}: another process has this port")

    def _is_ready(self) -> bool:
        if not self.running:
            return False
        with contextlib.suppress(OSError):
            return self._answers()
        return False

    def _lost_its_port(self) -> bool:
        drawn_and_fresh = self._wanted_port is None and self._log_start == 0
        return drawn_and_fresh and not self.running and any("Address already in use" in line for line in self._log())

    def _redraw(self) -> None:
        logger.info("Port %s was taken before %s could have it: drawing another", self._port, self.name)
        self.kill()
        shutil.rmtree(self.directory)
        self._port = None
        self.launch()

    def _report(self, reason: str) -> str:
        what = f"{self.name} did not come up at {self.address}: {reason}. Its log, {self.log_file}, says:"
        return "\n    ".join([what, *self._telling_lines()])

    def _telling_lines(self) -> list[str]:
        """The log's end, or the part from the first error: a Java server that gives up then talks of its shutdown."""
        lines = self._log() or ["(nothing)"]
        first_error = next((at for at, line in enumerate(lines) if re.search(r"\b(ERROR|FATAL)\b", line)), None)
        return lines[-LOG_LINES:] if first_error is None else lines[first_error : first_error + LOG_LINES]

    def _log(self) -> list[str]:
        """The log's lines since the last launch."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace").splitlines()
