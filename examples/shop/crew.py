"""The processes between the database and Redis, started again when they end; they can be paused and killed."""

import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from servers.process import Child

LOOK_EVERY_S: Final = 0.2
REST_S: Final = 3.0
STOP_S: Final = 30.0
STOPPED_IN_ORDER: Final = ("relay", "bridge", "worker 1", "worker 2", "flower")

COMMANDS: Final[Mapping[str, list[str]]] = {
    "relay": ["-m", "examples.shop.relay"],
    "bridge": ["-m", "bridge", "run", "--create-topics"],
    "worker 1": ["-m", "celery", "-A", "tasks", "worker", "--hostname", "worker1@localhost", "--without-mingle"],
    "worker 2": ["-m", "celery", "-A", "tasks", "worker", "--hostname", "worker2@localhost", "--without-mingle"],
    "flower": ["-m", "celery", "-A", "tasks", "flower", "--max-tasks=10000"],
}


class UnknownProcessError(LookupError):
    """There is no process of this name that may be paused or killed."""


class Crew:
    """The processes, in ``directory`` with ``environment``, for as long as the block lasts."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment
        self._mutex = threading.Lock()
        self._begun: dict[str, float] = {}
        self._children: dict[str, Child] = {}
        self._paused: set[str] = set()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        try:
            for name in COMMANDS:
                self._start(name)
        except BaseException:
            self._stop()
            raise
        threading.Thread(target=self._keep_running, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        """Ask all to end, the bridge and the relay first, so that what is in flight is finished; then wait."""
        self._ended.set()
        with self._mutex:
            for name in self._children:
                self.resume(name)
            for name in STOPPED_IN_ORDER:
                if name in self._children:
                    self._children[name].stop(STOP_S)

    def ready(self) -> bool:
        """Whether workers and bridge are at work."""
        return all(self._heartbeat(name).exists() for name in ("worker 1", "worker 2", "bridge"))

    def states(self) -> dict[str, str]:
        """What each process does: runs, is paused, or is being started again."""
        return {
            name: "paused" if name in self._paused else "runs" if child.exit_code is None else "starts again"
            for name, child in list(self._children.items())
        }

    def pause(self, name: str) -> None:
        """Stop a process (SIGSTOP), its heartbeats too; UnknownProcessError."""
        self._send(name, signal.SIGSTOP)
        self._paused.add(name)

    def resume(self, name: str) -> None:
        """Let it go on; UnknownProcessError."""
        self._send(name, signal.SIGCONT)
        self._paused.discard(name)

    def kill(self, name: str) -> None:
        """Kill it (SIGKILL): it is started again; UnknownProcessError."""
        self._send(name, signal.SIGKILL)
        self._paused.discard(name)

    def log(self, name: str) -> str:
        """What the process has said."""
        return self._log_file(name).read_text(encoding="utf-8", errors="replace")

    def _send(self, name: str, number: signal.Signals) -> None:
        if name not in self._children:
            raise UnknownProcessError(f"there is no process {name!r}; there are {', '.join(self._children)}")
        self._children[name].send(number)

    def _keep_running(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            with self._mutex:
                for name, child in list(self._children.items()):
                    # One that ends soon after its start would take all the time there is for its starts.
                    rested = time.monotonic() >= self._begun[name] + REST_S
                    if child.exit_code is not None and rested and not self._ended.is_set():
                        child.stop(0)
                        self._start(name)

    def _start(self, name: str) -> None:
        self._begun[name] = time.monotonic()
        self._paused.discard(name)
        self._children[name] = Child(
            [sys.executable, *COMMANDS[name]],
            directory=self._directory,
            log_file=self._log_file(name),
            environment={**self._environment, "LASTWORD_HEARTBEAT_FILE": str(self._heartbeat(name))},
        )

    def _heartbeat(self, name: str) -> Path:
        return self._directory / f"{name.replace(' ', '-')}.heartbeat"

    def _log_file(self, name: str) -> Path:
        return self._directory / f"{name.replace(' ', '-')}.log"
