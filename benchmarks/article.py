"""The article's flow in Java, in benchmarks/peers/article/: built once by Maven into the user's cache."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.program import BenchmarkError
from servers.errors import JavaError
from servers.jars import cache_directory
from servers.java import find_java

SOURCES = Path(__file__).parent / "peers" / "article"
BUILD_S = 600
HEAP = "-Xmx512m"


def is_possible() -> bool:
    """Whether Maven and a Java are installed."""
    try:
        find_java()
    except JavaError:
        return False
    return shutil.which("mvn") is not None


def java_command() -> list[str]:
    """The command that runs the program, which is built first if it is not yet. BenchmarkError when that fails."""
    built = cache_directory().parent / f"article-{_digest()}"
    if not built.exists():
        _build(built)
    return [
        str(find_java().program),
        HEAP,
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{built}/*",
        "Article",
    ]


def _digest() -> str:
    sources = sorted(path for path in SOURCES.rglob("*") if path.suffix in {".xml", ".java"})
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def _build(built: Path) -> None:
    work = built.with_name(f"{built.name}.{os.getpid()}")
    shutil.copytree(SOURCES, work / "source")
    goals = ["package", "dependency:copy-dependencies", f"-DoutputDirectory={work}/jars"]
    command = ["mvn", "-q", "-B", "-f", str(work / "source" / "pom.xml"), *goals]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    if done.returncode:
        raise BenchmarkError(
            f"the article's flow in Java could not be built: {done.stdout[-2_000:]}{done.stderr[-2_000:]}"
        )
    shutil.copy(work / "source" / "target" / "article-1.jar", work / "jars")
    (work / "jars").rename(built)
    shutil.rmtree(work)
