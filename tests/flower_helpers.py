"""Flower as a subprocess, and its API as a client sees it."""

import json
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.ports import free_port
from servers.process import Child
from tests.commands import clean_env
from tests.waiting import wait_until


@dataclass(frozen=True)
class Flower:
    port: int
    child: Child
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def status(self, path: str, login: str | None = None) -> int:
        return http_get(self.port, path, login)[0]

    def press(self, path: str, login: str) -> tuple[int, str]:
        """The HTTP status and text of what a button of a page answers."""
        status, body = http_get(self.port, path, login, method="POST")
        return status, body.decode()

    def get(self, path: str, login: str | None = None) -> dict[str, Any]:
        status, body = http_get(self.port, path, login)
        assert status == 200, (status, path)
        found: dict[str, Any] = json.loads(body)
        return found

    def wait_until_up(self) -> None:
        def answers() -> bool:
            assert self.child.exit_code is None, self.log
            return self.status("/healthcheck") == 200

        wait_until(answers, what="an answer of Flower")


def http_get(port: int, path: str, login: str | None = None, *, method: str = "GET") -> tuple[int, bytes]:
    """The HTTP status and body of an answer on this machine; 0 and nothing where there is none."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    if login is not None:
        request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - a URL of ours
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


@contextmanager
def running_flower(
    env: Mapping[str, str],
    directory: Path,
    *arguments: str,
    python: str | Path = sys.executable,
    app: str = "tasks",
) -> Iterator[Flower]:
    """``celery -A tasks flower`` in ``directory``, with no setting but ``env``; it may still be starting on entry."""
    port = free_port()
    log = directory.parent / f"flower-{port}.log"
    child = Child(
        [python, "-m", "celery", "-A", app, "flower", *arguments],
        directory=directory,
        log_file=log,
        environment=clean_env(env) | {"FLOWER_PORT": str(port)},
    )
    try:
        yield Flower(port, child, log)
    finally:
        child.stop(20)
