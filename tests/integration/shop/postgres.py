"""A PostgreSQL of a test's own, from the system's programs, as a child process on loopback."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from servers.postgresql import PostgreSQL


class Postgres:
    """Running for as long as the block lasts."""

    def __init__(self) -> None:
        # Not below pytest's directories, which only root may enter: PostgreSQL does not run as root.
        self._directory = Path(tempfile.mkdtemp(prefix="lastword-postgres-"))
        self._directory.chmod(0o711)
        self._server = PostgreSQL(self._directory / "postgresql")

    @property
    def url(self) -> str:
        return self._server.url.replace("postgresql:", "postgresql+psycopg:")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def kill(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()
        shutil.rmtree(self._directory)
