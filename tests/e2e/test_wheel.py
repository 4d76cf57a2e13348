"""The built wheel, installed in an environment of its own and used from another folder."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Reachable, ReachableRedis
from tests.task_helpers import TaskLog, live, open_site
from tests.worker_helpers import REPOSITORY, celery_worker

pytestmark = pytest.mark.timeout(300)  # the first time, everything that the wheel needs is downloaded

ROOMS = ["bridge", "tasks"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools would leave its own files in the repository, and take old ones from there."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in [*ROOMS, "servers", "tests"]:
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ["celeryconfig.py", "pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(REPOSITORY / name, source)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, directory=source)
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that holds the wheel and what it requires, at the locked versions."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home, directory=home.parent)
    python = home / "bin" / "python"
    pinned = ["--constraints", str(REPOSITORY / "requirements.lock")]
    into = ["--python", str(python), "--compile-bytecode"]
    run(sys.executable, "-m", "uv", "pip", "install", *into, *pinned, wheel, directory=home.parent)
    return python.parent


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, which stays so."""
    yield tmp_path
    assert not list(tmp_path.iterdir()), "nothing is left in the working folder"


def run(*command: str | Path, directory: Path) -> str:
    """What a command printed, both streams; AssertionError showing it when the exit code is not 0."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def test_the_wheel_holds_the_application_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    metadata = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    ours = {
        path.relative_to(REPOSITORY).as_posix()
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names - metadata == ours | {"celeryconfig.py"}
    assert {"bridge/py.typed", "tasks/py.typed", "tasks/write_if_newer.lua"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in metadata)


def test_the_commands_work_from_another_folder(installed: Path, elsewhere: Path) -> None:
    assert "publish" in run(installed / "lastword", "--help", directory=elsewhere)
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    told = run(installed / "python", "-m", "bridge", "--version", directory=elsewhere)
    assert told.endswith(f", version {version}\n")
    where = run(installed / "python", "-c", "import tasks; print(tasks.__file__)", directory=elsewhere)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_a_worker_works_from_another_folder(
    installed: Path, elsewhere: Path, redis_server: ReachableRedis, zookeeper_server: Reachable
) -> None:
    update = live("a")
    with open_site(redis_server, redis_server, zookeeper_server) as site:
        env = {**site.env, "PYTHONPATH": ""}
        with celery_worker(env, "-c", "1", python=installed / "python", directory=elsewhere) as worker:
            assert TaskLog(worker).result(site.sender.send(update)) == "applied"
            assert worker.stop() == 0
        assert site.holds(update)


def test_the_report_needs_no_server(installed: Path, elsewhere: Path) -> None:
    report = run(installed / "celery", "-A", "tasks", "report", directory=elsewhere)

    assert "task_default_queue: 'lastword'" in report


def test_a_celeryconfig_in_the_working_folder_replaces_ours(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "celeryconfig.py").write_text("task_default_queue = 'mine'\nbroker_url = 'redis://127.0.0.1:1/7'\n")

    report = run(installed / "celery", "-A", "tasks", "report", directory=tmp_path)

    assert "task_default_queue: 'mine'" in report
    assert "127.0.0.1:1/7" in report
    assert "ack_emulation" not in report
