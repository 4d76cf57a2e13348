"""Free loopback ports for servers that are about to start."""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from io import FileIO
from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below the range the system takes the ports of outgoing connections from (from 32768 on Linux, 49152 elsewhere):
# there, a client that keeps trying to reach a server that is down can be given the server's own port, connects to
# itself, and the server cannot come back.
LOWEST, HIGHEST = 20_000, 32_000

_drawn: set[int] = set()  # by this process: a cluster draws many before the first of them is listened on


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As servers do: otherwise a port whose last connections are in TIME_WAIT would seem taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port(*, with_second: int = 0) -> int:
    """A loopback port nobody listens on, drawn at random.

    It stays this process's until that ends: no other draws it while its server is down for a moment.
    ``with_second``: the port that is greater by this is free too.
    """
    while True:
        port = random.randrange(LOWEST, HIGHEST - with_second)  # noqa: S311 - spreads the starters, guards no secret
        if len(_drawn) > (HIGHEST - LOWEST) // 2:
            _drawn.clear()
        wanted = {port, port + with_second}
        if not wanted & _drawn and all(map(is_free, wanted)) and all(map(_reserve, wanted)):
            _drawn.update(wanted)
            return port


def _reserve(port: int) -> bool:
    """Whether no other process has drawn the port; from now on none does. The system forgets it with this process."""
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _reservations() -> FileIO:
    """A file without content: its byte N is locked by who drew port N. Opened once: a close would free them all."""
    path = Path(tempfile.gettempdir()) / f"lastword-ports-{os.getuid()}"
    return FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")


def accepts(port: int) -> bool:
    """Whether somebody listens on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True
