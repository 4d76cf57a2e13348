"""What the tests of Flower's buttons and of ``celery control`` share."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from celery.app.control import Control

from tests.flow import Flow
from tests.task_helpers import client_app
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker

ANSWER_S: Final = 10.0


@contextmanager
def remote_control(flow: Flow) -> Iterator[Control]:
    """What ``celery control`` does, without a process for each command."""
    app = client_app(flow.environment["CELERY_BROKER_URL"])
    try:
        yield app.control
    finally:
        app.close()


def ask(control: Control, worker: CeleryWorker, command: str, **arguments: object) -> Any:  # noqa: ANN401 - Celery's
    """What the worker answers to a command."""

    def answered() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] | None = control.broadcast(
            command, arguments, destination=[worker.name], reply=True, timeout=ANSWER_S, limit=1
        )
        return found or []

    return wait_until(answered, what=f"an answer to {command}")[0][worker.name]


def press(control: Control, worker: CeleryWorker, command: str, **arguments: object) -> str:
    """What the worker answers to a command that does something, as a line of text."""
    answer = ask(control, worker, command, **arguments)
    return "none" if answer is None else " ".join(f"{kind}: {said}" for kind, said in answer.items())


@contextmanager
def writes_refused(flow: Flow) -> Iterator[None]:
    """The cache answers every write of a product with an error; the broker, on the same server, goes on."""
    writable = [f"%RW~{pattern}" for pattern in ("lastword*", "_kombu*", "*pidbox*", "*celery*")]
    call: Any = flow.cache.execute_command
    call("ACL", "SETUSER", "default", "resetkeys", "%R~*", *writable)
    try:
        yield
    finally:
        call("ACL", "SETUSER", "default", "allkeys")


def ids_of(flow: Flow, worker: CeleryWorker) -> list[str]:
    """The ids of the flow's tasks that a worker has received, each once, in order."""
    return list(dict.fromkeys(re.findall(rf"\[({flow.topic}:\d+:\d+[^\]]*)\] received", worker.log)))
