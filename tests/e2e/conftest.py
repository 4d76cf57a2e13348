"""What several tests of the whole flow start from."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import redis

from servers import Reachable, Redis
from tests.commands import clean_env
from tests.pythons import find_python
from tests.worker_helpers import REPOSITORY

Install = Callable[[str], Path]
Run = Callable[..., str]

CACHE_DB, BROKER_DB = 2, 3  # of the servers that a test has as given: apart from those of the other tests


@pytest.fixture
def given(kafka_server: Reachable, zookeeper_server: Reachable, own_redis: Redis) -> Iterator[dict[str, str]]:
    """An environment that names servers which run already, with empty Redis databases."""
    yield {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server.address,
        "ZOOKEEPER_HOSTS": zookeeper_server.address,
        "REDIS_URL": own_redis.url(CACHE_DB),
        "CELERY_BROKER_URL": own_redis.url(BROKER_DB),
    }
    for db in (CACHE_DB, BROKER_DB):
        with redis.Redis.from_url(own_redis.url(db)) as client:
            client.flushdb()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools would leave its own files in the repository, and take old ones from there."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ["bridge", "lastword", "tasks", "servers", "tests"]:
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
        uv, python = (sys.executable, "-m", "uv", "--system-certs", "pip"), ("--python", home / "bin" / "python")
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
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
