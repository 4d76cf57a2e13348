"""A kazoo client that proves who it is, checks whom it talks to, and can say why it is not connected."""

import logging
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.serialization import Auth
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL

from tasks.lock.probe import probe

# kazoo reports a lost connection in several records per attempt, ours in one. Set this logger's level to see kazoo's.
_kazoo_log = logging.getLogger(f"{__name__}.kazoo")
_kazoo_log.setLevel(logging.ERROR)
# At DEBUG kazoo logs each request, and so the password.
_kazoo_log.addFilter(lambda record: not any(isinstance(argument, Auth) for argument in record.args or ()))

_NAME_MISMATCH: Final = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


_PROBES_S: Final = 2.0
"""How long may be looked at servers to find out why they give no session."""


@dataclass(frozen=True, slots=True)
class Security:
    """How ZooKeeper knows us, and we know ZooKeeper.

    ``auth``: ``user:password`` for the digest scheme; then every znode that we make is for this user alone.
    ``tls``: what the connection is made with, see ``tls_context``; None: it is not encrypted.
    """

    auth: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None


NO_SECURITY: Final = Security()


def tls_context(
    *, ca: str | None = None, cert: str | None = None, key: str | None = None, key_password: str | None = None
) -> ssl.SSLContext:
    """A context that checks the server's certificate and name; ``cert`` and ``key`` are our own, all are PEM files.

    Without ``ca`` the system's authorities are trusted. Raises ValueError when a file cannot be used; it says which.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ValueError(f"{ca!r} holds no certificate in PEM format") from None
    if cert is not None:
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(cert, key, password=key_password or "")
        except ssl.SSLError as error:
            raise ValueError(
                f"the certificate {cert!r} and the key {key!r} cannot be used: no PEM files, not each other's, or the "
                f"key's password is wrong or missing ({error.reason or 'OpenSSL gives no reason'})"
            ) from None
    return context


def open_client(hosts: str, *, session_timeout_s: float, security: Security) -> KazooClient:
    """A client that is yet to be started. Its handler notes why a connection does not come about."""
    return KazooClient(
        hosts,
        timeout=session_timeout_s,
        # The default's pauses grow to an hour, in which a healed server would not be noticed.
        connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=1.0),
        handler=_Handler(security.tls),
        logger=_kazoo_log,
        # Everybody may read and delete what was made without an ACL. The server puts this session's user in its place.
        default_acl=CREATOR_ALL_ACL if security.auth is not None else None,
        auth_data=[("digest", security.auth)] if security.auth is not None else None,
    )


def trouble_of(client: KazooClient) -> str:
    """Why ``client`` is not connected, as far as can be found out within seconds: at which address, and what to do."""
    return str(client.handler.trouble)


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]  # kazoo has no types
    """kazoo's handler, with connections of our own.

    kazoo's would trust the system's authorities beside the given one, read the files at each attempt, ask at the
    terminal for a key's password, leak the socket of a failed handshake, and log the reason instead of keeping it.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._tls = tls
        self._troubles: dict[tuple[str, int], str] = {}
        self._taken: dict[tuple[str, int], str] = {}

    @property
    def trouble(self) -> str:
        """What came of the last attempt at each address: a server's only one may be under way again."""
        end = time.monotonic() + _PROBES_S
        said = dict.fromkeys(self._say(address, end) for address in list(self._troubles))
        return "; ".join(said) or "none of its names can be resolved"

    def _say(self, address: tuple[str, int], end: float) -> str:
        hostname = self._taken.get(address)
        if hostname is None:
            return self._troubles[address]
        looked = probe(address, hostname, self._tls) if time.monotonic() < end else "it gives no session"
        return f"{hostname}:{address[1]}: {looked}"

    def create_connection(self, address: tuple[str, int], hostname: str, timeout: float, **_: object) -> socket.socket:
        """Connect to an address, which ``hostname`` was resolved to; called by kazoo, which waits and tries again."""
        where = f"{hostname}:{address[1]}"
        self._troubles.setdefault(address, f"{where}: no answer to the connection")
        self._taken.pop(address, None)
        try:
            connection = socket.create_connection(address, timeout)
        except (BrokenPipeError, ConnectionResetError):
            self._taken[address] = hostname  # and closed again, before it could be looked at
            raise
        except OSError as error:
            self._troubles[address] = f"{where}: {error.strerror or error}"
            raise
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_hostname=hostname)
            except OSError as error:
                connection.close()
                self._troubles[address] = f"{where}: {_handshake_trouble(error, hostname)}"
                raise
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._taken[address] = hostname
        return connection

    def select(self, rlist: list[Any], wlist: list[Any], xlist: list[Any], timeout: float) -> tuple[list[Any], ...]:
        """Wait for sockets; one that has decrypted more than was read of it has nothing left to wait for."""
        pending = [connection for connection in rlist if isinstance(connection, ssl.SSLSocket) and connection.pending()]
        ready: tuple[list[Any], ...] = super().select(rlist, wlist, xlist, 0 if pending else timeout)
        return (list({*ready[0], *pending}), *ready[1:])


def _handshake_trouble(error: OSError, hostname: str) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        said = getattr(error, "reason", None) or error.strerror or str(error)
        return f"no TLS connection ({said}); is the port ZooKeeper's secureClientPort?"
    if error.verify_code in _NAME_MISMATCH:
        return f"its certificate is not for {hostname!r}; ZOOKEEPER_HOSTS should have the name that is in it"
    return (
        f"its certificate is refused: {error.verify_message}; LASTWORD_ZOOKEEPER_TLS_CA should be the authority that "
        "it comes from"
    )
