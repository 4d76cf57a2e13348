"""What is behind a port that takes our connection and gives no ZooKeeper session: looked at with a new connection."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final

PROBE_MAX_S: Final = 1.0

TOO_MANY: Final = "too many connections from this machine (its maxClientCnxns, 60 by default, or maxCnxns)"
PORT: Final = "ZOOKEEPER_HOSTS should name ZooKeeper's clientPort"
WHY: Final = f"{TOO_MANY}; or {PORT}"
CERTIFICATE: Final = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")
"""What OpenSSL's names have in common for the alerts of a server that does not like our certificate, or has none."""


def probe(address: tuple[str, int], hostname: str, tls: ssl.SSLContext | None) -> str:
    """Say why the server at ``address`` gives no session, as far as that can be seen from here; within two seconds."""
    end = time.monotonic() + PROBE_MAX_S
    if tls is None and _speaks_tls(address, hostname, end):
        return "this port speaks TLS: set LASTWORD_ZOOKEEPER_TLS_CA, or name the clientPort in ZOOKEEPER_HOSTS"
    try:
        with _connection(address, hostname, tls, end) as connection:
            connection.sendall(b"srvr")
            answer = _read(connection, end)
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        if any(word in reason for word in CERTIFICATE):
            return f"it refuses our certificate, or wants one ({reason}): LASTWORD_ZOOKEEPER_TLS_CERT"
        return f"it ends the TLS connection ({reason})"
    except TimeoutError:
        return _http(address, end + PROBE_MAX_S) or f"it takes the connection and says nothing: it hangs, or {PORT}"
    except OSError:
        answer = b""
    return _meaning(answer) if answer else _http(address, end) or f"it closes the connection without a word: {WHY}"


def _meaning(answer: bytes) -> str:
    """What an answer to ``srvr`` tells of a server that gives no session."""
    if b"not currently serving" in answer:
        return "it is up and serves nobody: no quorum, or it is still starting"
    if b"whitelist" in answer:
        return f"it closes our connection: no quorum, or {TOO_MANY}"
    if b"Zookeeper version" in answer:
        return f"it serves others and closes our connection: {TOO_MANY}, or it was set back to older data"
    return f"it does not answer as ZooKeeper does: {PORT}"


@contextlib.contextmanager
def _connection(
    address: tuple[str, int], hostname: str, tls: ssl.SSLContext | None, end: float
) -> Iterator[socket.socket]:
    with socket.create_connection(address, _remaining_s(end)) as plain:
        if tls is None:
            yield plain
            return
        with tls.wrap_socket(plain, server_hostname=hostname) as encrypted:
            yield encrypted


def _speaks_tls(address: tuple[str, int], hostname: str, end: float) -> bool:
    """Whether it answers the beginning of a TLS handshake, with whatever certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connection(address, hostname, context, (time.monotonic() + end) / 2):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it has understood us, and wants something else
    except OSError:
        return False


def _http(address: tuple[str, int], end: float) -> str:
    """What to say of a web server, as ZooKeeper's own for administrators is one; empty where it is none."""
    try:
        with _connection(address, "", None, end) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            is_http = _read(connection, end).startswith(b"HTTP/")
    except OSError:
        return ""
    return f"it answers as a web server does: {PORT}" if is_http else ""


def _read(connection: socket.socket, end: float) -> bytes:
    """All that comes until the server closes the connection; TimeoutError where nothing does."""
    received = b""
    while True:
        connection.settimeout(_remaining_s(end))
        try:
            part = connection.recv(4096)
        except TimeoutError:
            if received:
                return received
            raise
        if not part:
            return received
        received += part


def _remaining_s(end: float) -> float:
    return max(0.05, end - time.monotonic())
