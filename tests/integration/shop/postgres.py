"""A PostgreSQL of a test's own, from the system's programs, as a child process on loopback."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from servers.ports import free_port
from servers.process import Child
from tests.programs import postgresql_programs
from tests.waiting import wait_until

USER = "postgres"


class Postgres:
    """Running for as long as the block lasts."""

    def __init__(self) -> None:
        found = postgresql_programs()
        assert found is not None, "PostgreSQL is not installed"
        self._programs = found
        self.port = free_port()
        # Not below pytest's directories, which only root may enter: PostgreSQL does not run as root.
        self._directory = Path(tempfile.mkdtemp(prefix="lastword-postgres-"))
        self._as: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self._directory, USER, USER)
            self._as = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{USER}"

    def __enter__(self) -> Self:
        data = self._directory / "data"
        initdb = [*self._as, str(self._programs / "initdb"), "-D", str(data), "-U", USER, "--auth=trust", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=self._directory)
        self._start()
        return self

    def _start(self) -> None:
        data = self._directory / "data"
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._directory), "-c", "fsync=off"]
        self._child = Child(
            [*self._as, self._programs / "postgres", "-D", data, *options],
            directory=self._directory,
            log_file=self._directory / "log",
            environment=os.environ,
        )
        ready = [str(self._programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run(ready, check=False, capture_output=True).returncode == 0, what="PostgreSQL")

    def kill(self) -> None:
        self._child.kill()

    def start(self) -> None:
        self._start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._child.stop(30)
        shutil.rmtree(self._directory)
