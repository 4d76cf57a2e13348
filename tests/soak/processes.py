"""The processes of a run: each is started, killed, paused and started again like a server."""

import contextlib
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import psutil

from tests.flow import Bridge
from tests.worker_helpers import CeleryWorker, celery_worker


class Process(ABC):
    """A bridge or a worker of this name. ``wanted``: it has been started, and nobody has ended it."""

    READY: ClassVar[str]
    """What its log says when it does its work."""

    def __init__(self, name: str, environment: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.wanted = False
        self._environment = dict(environment)
        self._directory = directory
        self._latest: Bridge | CeleryWorker | None = None

    @property
    def started(self) -> Bridge | CeleryWorker:
        """The process that was started last."""
        assert self._latest is not None, f"{self.name} was not started"
        return self._latest

    @abstractmethod
    def _start(self) -> Bridge | CeleryWorker: ...

    @abstractmethod
    def _clear_up(self) -> None:
        """End the process in order, if it still runs."""

    def start(self) -> None:
        """Start it, and do not wait until it is ready."""
        self._latest = self._start()
        self.wanted = True

    def wait_ready(self) -> None:
        self.started.wait_for_log(self.READY)

    def kill(self) -> None:
        self.started.kill()
        self.stop()

    def stop(self) -> None:
        self.wanted = False
        self._clear_up()

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def family(self) -> list[psutil.Process]:
        """The process and the children of its pool."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.started.pid)
            return [process, *process.children(recursive=True)]
        return []

    def _send(self, number: signal.Signals) -> None:
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class BridgeProcess(Process):
    """A bridge."""

    READY: ClassVar[str] = "partitions assigned"

    def _start(self) -> Bridge:
        return Bridge(self._directory, self._environment)

    def _clear_up(self) -> None:
        if self.started.exit_code is None:
            self.started.stop()


class WorkerProcess(Process):
    """A worker with the pool that ``options`` name."""

    READY: ClassVar[str] = " ready."

    def __init__(self, name: str, environment: Mapping[str, str], directory: Path, *options: str) -> None:
        super().__init__(name, environment, directory)
        self._options = options
        self._stack = contextlib.ExitStack()

    def _start(self) -> CeleryWorker:
        return self._stack.enter_context(celery_worker(self._environment, *self._options, wait_ready=False))

    def _clear_up(self) -> None:
        # Its log is thrown away with the worker.
        with (self._directory / f"{self.name}.log").open("a", encoding="utf-8") as log:
            log.write(self.started.log)
        self._stack.close()
