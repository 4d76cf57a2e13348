"""The Pythons of this machine, by version."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def find_python(version: str) -> Path:
    """A Python of this version, such as ``3.13``: ours, pyenv's or the PATH's; without one, skip, and in CI fail."""
    for program in _candidates(version):
        if _version_of(program) == version:
            return program
    missing = f"there is no Python {version} here: pyenv install {version}, or put python{version} on the PATH"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def _candidates(version: str) -> Iterator[Path]:
    yield Path(sys.executable)
    # Not by pyenv's shims: they are on the PATH also for versions that are not chosen, and then fail.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)


def _version_of(program: Path) -> str | None:
    ask = [str(program), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    told = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=180)
    return told.stdout.strip() if told.returncode == 0 else None
