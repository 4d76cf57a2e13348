"""The programs of a run as child processes, and the directory they run in."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.names import ROOT
from servers.process import Child

READY_S = 180.0
STOP_S = 30.0
LOOK_EVERY_S = 0.01
LOG_END = 2_000


class BenchmarkError(Exception):
    """A run did not come to its end; the message is for the person at the terminal."""


class Program(AbstractContextManager["Program"]):
    """A program that runs until the block ends, in ``directory``, where it may find Celery's settings."""

    def __init__(self, directory: Path, environment: Mapping[str, str], name: str, command: Sequence[str]) -> None:
        self.name = name
        self._log_file = directory / f"{name}-{len(list(directory.iterdir()))}.log"
        self._child = Child(
            command,
            directory=directory,
            log_file=self._log_file,
            environment={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def wait_for(self, text: str, *, deadline_s: float = READY_S) -> None:
        """Return when its log says ``text``; BenchmarkError with the end of the log when it does not."""
        self.wait_until(lambda: text in self._log, what=repr(text), deadline_s=deadline_s)

    def wait_until(self, condition: Callable[[], object], *, what: str, deadline_s: float) -> None:
        """Return when the condition holds; BenchmarkError past the deadline or when the program has ended."""
        end = time.monotonic() + deadline_s
        while not condition():
            if self._child.exit_code is not None or time.monotonic() > end:
                raise BenchmarkError(f"{self.name}: no {what}; its log says:\n{self._log[-LOG_END:]}")
            time.sleep(LOOK_EVERY_S)

    @property
    def _log(self) -> str:
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._child.stop(STOP_S)
        else:
            self._child.kill()  # a bridge that is asked to stop would first finish what is in flight

    def __enter__(self) -> Self:
        return self
