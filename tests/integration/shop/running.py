"""The shop's service and its relay as processes, and a client of the service."""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from servers.ports import free_port
from servers.process import Child
from tests.waiting import wait_until
from tests.worker_helpers import REPOSITORY


class Answer(NamedTuple):
    status: int
    body: Any


class Service:
    """The service on ``database``, killed and started at will."""

    def __init__(self, directory: Path, database: str, **environment: str) -> None:
        self._port = free_port()
        self._directory = directory
        self._environment = {**os.environ, "SHOP_DATABASE": database, **environment}
        self._child: Child | None = None

    def start(self) -> None:
        factory = self._environment.get("SHOP_FACTORY", "examples.shop.service:from_environment")
        command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(self._port)]
        self._child = Child(
            command, directory=REPOSITORY, log_file=self._directory / "service.log", environment=self._environment
        )
        wait_until(self.answers, what="the service")

    def kill(self) -> None:
        assert self._child is not None
        self._child.kill()

    def stop(self) -> None:
        assert self._child is not None
        self._child.stop(20)

    def ask(self, method: str, path: str, body: object = None, *, raw: bytes | None = None) -> Answer:
        """One request; OSError where there is no answer."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
                content = answer.read()
                return Answer(answer.status, json.loads(content) if content else None)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read()))
        except http.client.HTTPException as error:
            raise ConnectionError("an answer that breaks off") from error

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/openapi.json").status == 200
        except OSError:
            return False


@contextmanager
def service(directory: Path, database: str, **environment: str) -> Iterator[Service]:
    running = Service(directory, database, **environment)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def relay(directory: Path, environment: Mapping[str, str], module: str = "examples.shop.relay") -> Child:
    """A relay, to be killed or stopped."""
    return Child(
        [sys.executable, "-m", module],
        directory=REPOSITORY,
        log_file=directory / "relay.log",
        environment={**os.environ, **environment},
    )
