"""A name of its own for each worker on a machine: Celery calls all of them celery@host unless they are told otherwise.

Two workers of one name answer for each other, and Flower shows one.
"""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any, Final

from celery.app import trace
from celery.utils.nodenames import default_nodename

TRIED_MAX: Final = 1_000

_locks: list[int] = []
"""Files that stay locked until this process, and those it has forked, are gone."""


def take_free_name(worker: Any, app: Any) -> None:  # noqa: ANN401 - Celery's
    """Call the worker ``celery2@host`` and so on where others of this user have the names before; one given stays."""
    if worker.hostname != default_nodename(""):
        return
    name, _, host = worker.hostname.partition("@")
    for number in range(1, TRIED_MAX):
        candidate = f"{name}{number if number > 1 else ''}@{host}"
        if _take(candidate):
            break
    else:
        return
    if candidate != worker.hostname:
        worker.hostname = candidate
        trace.setup_worker_optimizations(app, candidate)  # has been told the other name


def _take(name: str) -> bool:
    """Whether nobody had it; also where nothing can be locked, since then nobody can be asked."""
    folder = Path(tempfile.gettempdir()) / f"lastword-workers-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / f"{name.replace(os.sep, '_')}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        return not isinstance(error, BlockingIOError)
    _locks.append(lock)
    return True
