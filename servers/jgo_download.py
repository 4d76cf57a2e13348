"""Downloads pinned jars by the PyPI package jgo: needs neither Maven nor Java."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from servers.errors import JarError
from servers.pins import Jar

ATTEMPTS = 3
TIMEOUT_S = 30


def download(jars: Sequence[Jar], directory: Path, arrived: Callable[[Jar], None]) -> None:
    """Download into ``directory``, one pinned artifact at a time; JarError when one cannot be had."""
    with _systems_certificates():
        for jar in jars:
            _download_one(jar, directory)
            arrived(jar)


@contextmanager
def _systems_certificates() -> Iterator[None]:
    """Trust whom the system trusts, or SSL_CERT_FILE: jgo's requests would know the authorities of certifi alone."""
    try:
        import truststore  # noqa: PLC0415 - an extra, as jgo is
    except ImportError as error:
        raise _nothing_to_fetch_with() from error
    truststore.inject_into_ssl()
    try:
        yield
    finally:
        truststore.extract_from_ssl()


def _download_one(jar: Jar, directory: Path) -> None:
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - an extra: those who have mvn do not need it
    except ImportError as error:
        raise _nothing_to_fetch_with() from error
    for attempt in range(1, ATTEMPTS + 1):
        # A directory of its own each time: jgo takes what a broken download left behind for the whole file.
        with tempfile.TemporaryDirectory(dir=directory) as repository:
            maven = MavenContext(repo_cache=Path(repository), local_repos=[], timeout=TIMEOUT_S)
            # Only this very file. jgo's resolver of dependencies finds others than Maven's: kafka-clients 3.8 beside
            # a 4.4 core. And it only warns of a wrong SHA-1; our caller checks the SHA-256.
            artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
            try:
                artifact.resolve().replace(directory / jar.file_name)
            except (OSError, RuntimeError) as error:  # requests' errors are OSErrors.
                if attempt == ATTEMPTS:
                    raise JarError(f"{jar} could not be downloaded by jgo in {ATTEMPTS} attempts: {error}") from error
            else:
                return


def _nothing_to_fetch_with() -> JarError:
    return JarError("Neither mvn nor jgo is here to fetch the jars: pip install 'lastword[local]'")
