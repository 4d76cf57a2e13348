"""What another shell asks of the ``up`` that runs: a file for each request, and one beside it for the answer.

Only ``up`` may stop and start its servers: they are its children, and it must know that an end was wanted.
"""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from servers.errors import ServerError
from servers.filelock import write_whole
from servers.state import Process

Action = Literal["stop", "kill", "pause", "resume", "start"]

ANSWER_TIMEOUT_S = 120.0
LOOK_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Request:
    """What somebody wants done to some servers; to be answered."""

    path: Path
    action: Action
    names: tuple[str, ...]

    def answer(self, error: str = "") -> None:
        """Tell the one who asked that it is done, or why not."""
        write_whole(_answer_to(self.path), error)
        self.path.unlink(missing_ok=True)


def clear(directory: Path) -> None:
    """Forget what was asked of an earlier ``up``."""
    folder = _folder(directory)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink(missing_ok=True)


def pending(directory: Path) -> Iterator[Request]:
    """The requests that wait for an answer."""
    for path in _folder(directory).glob("*.json"):
        asked = json.loads(path.read_text(encoding="utf-8"))
        yield Request(path, asked["action"], tuple(asked["names"]))


def ask(directory: Path, up: Process, action: Action, names: Sequence[str]) -> None:
    """Have ``up`` do it, and return when it is done; ServerError, saying why, when it is not."""
    path = _folder(directory) / f"{uuid.uuid4()}.json"
    write_whole(path, json.dumps({"action": action, "names": list(names)}))
    answer = _answer_to(path)
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    try:
        while not answer.exists():
            if not up.alive:
                raise ServerError(f"`up`, process {up.pid}, has ended; its servers with it")
            if time.monotonic() > deadline:
                raise ServerError(f"`up`, process {up.pid}, does not answer: not within {ANSWER_TIMEOUT_S:g} s")
            time.sleep(LOOK_INTERVAL_S)
        error = answer.read_text(encoding="utf-8")
    finally:
        path.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)
    if error:
        raise ServerError(error)


def _folder(directory: Path) -> Path:
    return directory / "requests"


def _answer_to(path: Path) -> Path:
    return path.with_suffix(".answer")
