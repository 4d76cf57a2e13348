"""MariaDB as a child process, where the system's packages have it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from servers.errors import ServerError, StartError
from servers.ports import LOOPBACK
from servers.server import Server

USER: Final = "root"
"""The database's user."""

SYSTEM_USER: Final = "mysql"
"""As whom it runs where we are root: MariaDB refuses to be root."""

INSTALL_TIMEOUT_S: Final = 120.0
PROBE_TIMEOUT_S: Final = 5.0
INSTALL: Final = "mariadb-install-db"
PID_FILE: Final = "mariadb.pid"
SYSTEM_PROGRAMS: Final = Path("/usr/sbin")
"""Where Debian puts the server: on the PATH of root alone."""


class MariaDB(Server):
    """A standalone MariaDB that logs whole rows, with one user, who needs no password; ``settings`` are its variables.

    Where we are root, the user ``mysql`` must be able to enter ``directory``.
    """

    kind: ClassVar[str] = "MariaDB"

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
    def version(self) -> str:
        """The version of the installed program."""
        answer = subprocess.run([find_mariadb(), "--version"], capture_output=True, text=True, check=True)
        return answer.stdout.split()[2]

    def _prepare(self) -> Sequence[str | Path]:
        program = find_mariadb()
        as_user = [f"--user={SYSTEM_USER}"] if os.geteuid() == 0 else []
        if not (self._data / "mysql").exists():
            self._install(as_user)
        # A process that was killed has left its own; it says nothing of the one that starts now.
        (self._data / PID_FILE).unlink(missing_ok=True)
        settings = {
            "datadir": self._data,
            "bind-address": LOOPBACK,
            "port": self.port,
            # Both within the data: a path from the root may be too long for a socket.
            "socket": "mariadb.sock",
            "pid-file": PID_FILE,
            "server-id": 1,
            "log-bin": "log",
            "binlog-format": "ROW",
            "binlog-row-image": "FULL",
            "gtid-strict-mode": "ON",
            "innodb-buffer-pool-size": "32M",
            # Its data is gone with the run; a process that was killed has left it to the system, which writes it.
            "innodb-flush-log-at-trx-commit": 2,
            **self._settings,
        }
        return [program, "--no-defaults", *as_user, *(f"--{name}={value}" for name, value in settings.items())]

    def _install(self, as_user: Sequence[str]) -> None:
        """Make the data directory MariaDB's."""
        self._data.mkdir(mode=0o700, exist_ok=True)
        if as_user:
            shutil.chown(self._data, SYSTEM_USER, SYSTEM_USER)
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        with self.log_file.open("ab") as log:
            try:
                subprocess.run(
                    [INSTALL, "--no-defaults", f"--datadir={self._data}", *as_user, *options],
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=INSTALL_TIMEOUT_S,
                    check=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise StartError(self._report("its data directory could not be made")) from error

    def _answers(self) -> bool:
        """By the file that the server itself writes, and the greeting with which it begins each connection."""
        if (self._data / PID_FILE).read_text(encoding="utf-8").strip() != str(self.pid):
            return False
        with socket.create_connection((LOOPBACK, self.port), PROBE_TIMEOUT_S) as connection:
            return b"MariaDB" in connection.recv(128)


def is_installed() -> bool:
    """Whether there is a MariaDB to start."""
    return _program() is not None


def find_mariadb() -> Path:
    """The program; ServerError, which says how to install it, when it is not there."""
    found = _program()
    if found is None:
        raise ServerError("MariaDB is not installed: it comes from the system's packages (apt install mariadb-server)")
    return found


def _program() -> Path | None:
    if shutil.which(INSTALL) is None:
        return None  # without it there is no data to begin with
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path=str(SYSTEM_PROGRAMS))
    return Path(found) if found else None
