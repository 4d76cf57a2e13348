"""PostgreSQL as a child process, where the system's packages have it."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from servers.errors import ServerError, StartError
from servers.ports import LOOPBACK
from servers.server import STOP_TIMEOUT_S, Server

USER = "postgres"
"""The database's user, and the one of the system as whom it runs where we are root: PostgreSQL refuses to be root."""

INITDB_TIMEOUT_S = 120.0
GONE_TIMEOUT_S = 30.0
PACKAGES = Path("/usr/lib/postgresql")


class PostgreSQL(Server):
    """A standalone PostgreSQL with one user, who needs no password; ``settings`` are lines of its postgresql.conf.

    Where we are root, the user ``postgres`` must be able to enter ``directory``.
    """

    kind: ClassVar[str] = "PostgreSQL"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(directory, port=port, name=name)
        self._settings = settings or {}
        self._data = self.directory / "data"

    @property
    def url(self) -> str:
        """``postgresql://postgres@127.0.0.1:PORT/postgres``."""
        return f"postgresql://{USER}@{self.address}/{USER}"

    @property
    def version(self) -> str:
        """The version of the installed program."""
        answer = subprocess.run(
            [find_postgresql() / "postgres", "--version"], capture_output=True, text=True, check=True
        )
        return answer.stdout.split()[2]

    def stop(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """As every server; connections are ended, where a mere SIGTERM would wait for their clients."""
        if self.running:
            self._send(signal.SIGINT)
        super().stop(timeout_s=timeout_s)

    def kill(self) -> None:
        """End the server and the processes of its connections at once (SIGKILL); all are gone on return."""
        import psutil  # noqa: PLC0415 - an extra: other servers do without

        children = psutil.Process(self.pid).children() if self.running else []
        super().kill()
        for child in children:
            # Of none of them is the id given out anew: psutil looks at when they were started.
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(children, timeout=GONE_TIMEOUT_S)

    def _prepare(self) -> Sequence[str | Path]:
        programs = find_postgresql()
        as_user: list[str | Path] = []
        if os.geteuid() == 0:
            as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        if not (self._data / "PG_VERSION").exists():
            self._data.mkdir(mode=0o700, exist_ok=True)
            if as_user:
                shutil.chown(self._data, USER, USER)
            self._initialize([*as_user, programs / "initdb"])
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            # Its data is gone with the run; a process that was killed has left it to the system, which writes it.
            "fsync": "off",
            **self._settings,
        }
        options = (part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
        return [*as_user, programs / "postgres", "-D", self._data, *options]

    def _initialize(self, initdb: Sequence[str | Path]) -> None:
        """Make the data directory PostgreSQL's."""
        options = ["-U", USER, "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        with self.log_file.open("ab") as log:
            try:
                subprocess.run(
                    [*initdb, "-D", self._data, *options],
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=INITDB_TIMEOUT_S,
                    check=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise StartError(self._report("its data directory could not be made")) from error

    def _answers(self) -> bool:
        """By the file that the server itself keeps: its process id first, and at last how far it is."""
        lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").split()
        return bool(lines) and lines[0] == str(self.pid) and lines[-1] == "ready"


def programs_directory() -> Path | None:
    """Where initdb and postgres are; None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(PACKAGES.glob("*/bin"), key=_version_of)
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


def _version_of(place: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", place.parent.name)]


def is_installed() -> bool:
    """Whether there is a PostgreSQL to start."""
    return programs_directory() is not None


def find_postgresql() -> Path:
    """The directory of its programs; ServerError, which says how to install it, when it is not there."""
    found = programs_directory()
    if found is None:
        raise ServerError("PostgreSQL is not installed: it comes from the system's packages (apt install postgresql)")
    return found
