"""jars.lock: which jars the servers consist of, each pinned by its Maven coordinates and its SHA-256."""

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = Path(__file__).with_name("jars.lock")


@dataclass(frozen=True)
class Jar:
    """One pinned jar: its Maven coordinates, its SHA-256 in hex, its size in bytes, the servers that need it."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int
    servers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        """Unique among all jars: two groups may both have a ``metrics-core``."""
        return f"{self.group}.{self.artifact}-{self.version}.jar"


@functools.cache
def pinned_jars() -> tuple[Jar, ...]:
    """All jars of jars.lock."""
    entries = tomllib.loads(LOCK_FILE.read_text(encoding="utf-8"))["jar"]
    return tuple(Jar(**{**entry, "servers": tuple(entry["servers"])}) for entry in entries)


def pinned_version(server: str, artifact: str) -> str:
    """The version of an artifact that jars.lock pins for a server."""
    return next(jar.version for jar in pinned_jars() if jar.artifact == artifact and server in jar.servers)
