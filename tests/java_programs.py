"""Java programs of the tests, run from their source."""

import os
import subprocess
from pathlib import Path

from servers.jars import fetch_jars
from servers.java import java_command

PROGRAMS = Path(__file__).parent / "java"
TIMEOUT_S = 300


def run_java(name: str, server: str, *arguments: str | Path, directory: Path) -> str:
    """What the program prints, with the jars of ``server``; AssertionError with its complaint when it fails."""
    command = java_command(
        fetch_jars(server), str(PROGRAMS / name), *arguments, directory=directory, heap="128m", properties={}
    )
    utf8 = {**os.environ, "LC_ALL": "C.UTF-8"}  # by which Java reads its arguments and prints
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False, env=utf8)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()
