"""The built wheel, installed in an environment of its own and used from another folder."""

import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Reachable, ReachableRedis
from servers.process import Child
from tests.commands import change, clean_env
from tests.e2e.conftest import Install, Run
from tests.task_helpers import open_site
from tests.waiting import wait_until
from tests.worker_helpers import REPOSITORY, celery_worker

ROOMS = ["bridge", "lastword", "tasks"]


@pytest.fixture(params=["3.11", "3.13"])
def installed(request: pytest.FixtureRequest, install: Install) -> Path:
    """The bin folder of an environment that holds the wheel, on the oldest and the newest Python we claim."""
    return install(str(request.param))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, which stays so."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    yield directory
    assert not list(directory.iterdir()), "nothing is left in the working folder"


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
    assert {"bridge/py.typed", "lastword/py.typed", "tasks/py.typed", "lastword/cache/write_if_newer.lua"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in metadata)


def test_the_commands_work_from_another_folder(installed: Path, elsewhere: Path, run: Run) -> None:
    assert "publish" in run(installed / "lastword", "--help", directory=elsewhere)
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    told = run(installed / "python", "-m", "bridge", "--version", directory=elsewhere)
    assert told.endswith(f", version {version}\n")
    where = run(installed / "python", "-c", "import tasks; print(tasks.__file__)", directory=elsewhere)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_a_published_change_is_read_from_redis(
    installed: Path,
    elsewhere: Path,
    run: Run,
    kafka_server: Reachable,
    redis_server: ReachableRedis,
    zookeeper_server: Reachable,
    topic: str,
    group: str,
) -> None:
    with open_site(redis_server, redis_server, zookeeper_server) as site:
        env = site.env | {
            "KAFKA_BOOTSTRAP_SERVERS": kafka_server.address,
            "LASTWORD_TOPIC": topic,
            "LASTWORD_CONSUMER_GROUP": group,
        }
        bridge = Child(
            [installed / "lastword", "run", "--create-topics"],
            directory=elsewhere,
            log_file=elsewhere.parent / "bridge.log",
            environment=clean_env(env),
        )
        try:
            python = installed / "python"
            with celery_worker(env | {"PYTHONPATH": ""}, "-c", "1", python=python, directory=elsewhere) as worker:
                publish = [installed / "lastword", "publish", "-"]
                create = {"LASTWORD_CREATE_TOPICS": "8"}
                said = run(*publish, directory=elsewhere, env=env | create, stdin=change("42", data={"price": "8.90"}))
                assert f"published 1 records to '{topic}'" in said
                held = wait_until(lambda: site.raw.hget(site.key("42"), "data"), what="the change in Redis")
                assert held == b'{"price": "8.90"}'
                assert worker.stop() == 0
        finally:
            bridge.stop(35)
        assert bridge.exit_code == 0


def test_the_report_needs_no_server(installed: Path, elsewhere: Path, run: Run) -> None:
    report = run(installed / "celery", "-A", "tasks", "report", directory=elsewhere)

    assert "task_default_queue: 'lastword'" in report


def test_a_celeryconfig_in_the_working_folder_replaces_ours(installed: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "celeryconfig.py").write_text("task_default_queue = 'mine'\nbroker_url = 'redis://127.0.0.1:1/7'\n")

    report = run(installed / "celery", "-A", "tasks", "report", directory=tmp_path)

    assert "task_default_queue: 'mine'" in report
    assert "127.0.0.1:1/7" in report
    assert "ack_emulation" not in report
