"""The jars of the Java servers: pinned by jars.lock, fetched once into the user's cache, verified by SHA-256."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from servers import jgo_download, mvn_download
from servers.errors import JarError
from servers.filelock import exclusive
from servers.pins import Jar, pinned_jars

# Puts the jars into a directory under their file names, calling back with each as it arrives; raises JarError.
Download = Callable[[Sequence[Jar], Path, Callable[[Jar], None]], None]


NEEDED_ALWAYS: Final = frozenset({"kafka", "zookeeper"})
"""The servers of every run: their jars are fetched together. Those of others when they are asked for."""


def cache_directory() -> Path:
    """``lastword/jars`` in the user's cache: XDG_CACHE_HOME, else ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "lastword" / "jars"


def fetch_jars(server: str) -> list[Path]:
    """Paths of all jars of ``server``, as jars.lock names it ("kafka"); what the cache lacks is downloaded.

    Of Kafka and ZooKeeper, which no run does without, what lacks of either.

    Raises JarError when a download fails or brings another file than the pinned one.
    """
    cache = cache_directory()
    servers = NEEDED_ALWAYS if server in NEEDED_ALWAYS else {server}
    if _missing(cache, servers):
        # One at a time: Maven's own repository, which mvn writes to, does not bear two writers.
        with exclusive(cache / ".lock", wait=True):
            missing = _missing(cache, servers)
            if missing:
                _fetch(missing, cache)
    return [cache / jar.file_name for jar in pinned_jars() if server in jar.servers]


def verify(jar: Jar, path: Path) -> None:
    """Raise JarError, the file deleted, unless its SHA-256 is the pinned one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        path.unlink()
        raise JarError(f"{jar} has SHA-256 {found}, but jars.lock pins {jar.sha256}: the download was deleted")


def _missing(cache: Path, servers: Collection[str]) -> list[Jar]:
    needed = (jar for jar in pinned_jars() if any(server in servers for server in jar.servers))
    return [jar for jar in needed if not (cache / jar.file_name).exists()]


def _fetch(jars: Sequence[Jar], cache: Path) -> None:
    """Download beside the cache's files, verify, and only then move into place: the cache never holds a wrong jar."""
    # Most of the time there is nothing to fetch, and this would be most of `python -m servers.fetch`.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    download: Download = mvn_download.download if shutil.which("mvn") else jgo_download.download
    with (
        tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as directory,
        Progress(
            TextColumn("Fetching {task.fields[count]} jars, once"),
            BarColumn(),
            DownloadColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as progress,
    ):
        bar = progress.add_task("jars", total=sum(jar.size for jar in jars), count=len(jars))
        download(jars, Path(directory), lambda jar: progress.advance(bar, jar.size))
        for jar in jars:
            fetched = Path(directory) / jar.file_name
            verify(jar, fetched)
            fetched.replace(cache / jar.file_name)
        progress.update(bar, completed=sum(jar.size for jar in jars))
