"""The flow of one test; the built wheel, and clean environments that hold it and what the image holds."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from servers import Kafka, Redis, ZooKeeper
from tests.commands import clean_env
from tests.e2e.flow import Flow
from tests.pythons import find_python
from tests.worker_helpers import REPOSITORY, empty_broker

Install = Callable[[str], Path]
Run = Callable[..., str]


@pytest.fixture
def flow(
    kafka_server: Kafka,
    redis_server: Redis,
    zookeeper_server: ZooKeeper,
    tmp_path: Path,
    topic: str,
    group: str,
    zookeeper_root: str,
    key_prefix: str,
) -> Iterator[Flow]:
    empty_broker(redis_server)
    flow = Flow(
        (kafka_server, redis_server, zookeeper_server),
        tmp_path,
        topic=topic,
        group=group,
        root=zookeeper_root,
        prefix=key_prefix,
    )
    yield flow
    flow.close()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools would leave its own files in the repository, and take old ones from there."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ["bridge", "tasks", "servers", "tests"]:
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ["celeryconfig.py", "pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(REPOSITORY / name, source)
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, directory=source)
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Makes, once for each version of Python, an environment as the Dockerfile does; its bin folder."""

    @cache
    def install(version: str) -> Path:
        home = tmp_path_factory.mktemp("environment") / "venv"
        _run(find_python(version), "-m", "venv", "--without-pip", home, directory=home.parent)
        uv, python = (sys.executable, "-m", "uv", "pip"), ("--python", home / "bin" / "python")
        locked = ("--require-hashes", "--requirement", REPOSITORY / "requirements-runtime.lock")
        _run(*uv, "install", *python, "--compile-bytecode", *locked, directory=home.parent)
        _run(*uv, "install", *python, "--compile-bytecode", "--no-deps", wheel, directory=home.parent)
        _run(*uv, "check", *python, directory=home.parent)
        return home / "bin"

    return install


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a command in a directory; what it printed, both streams. AssertionError when the exit code is not 0."""
    return _run


def _run(*command: str | Path, directory: Path, env: dict[str, str] | None = None, stdin: str = "") -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        env={n: v for n, v in clean_env(env or {}).items() if n not in {"PYTHONPATH", "VIRTUAL_ENV"}},
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
