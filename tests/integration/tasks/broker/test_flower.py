"""Flower as ``celery -A tasks flower`` starts it: who gets in, by which password, and from where."""

import re
from pathlib import Path

import psutil
import pytest

from servers import Redis
from tests.flower_helpers import Flower, running_flower
from tests.waiting import wait_until


@pytest.fixture
def env(redis_server: Redis, tmp_path: Path) -> dict[str, str]:
    return {"CELERY_BROKER_URL": redis_server.url(1), "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where Flower is started: in no folder of ours."""
    directory = tmp_path / "work"
    directory.mkdir()
    return directory


def listening(flower: Flower) -> set[str]:
    return {c.laddr.ip for c in psutil.Process(flower.child.pid).net_connections() if c.status == psutil.CONN_LISTEN}


def test_by_default_it_is_for_this_machine_and_asks_for_the_password_it_has_made(
    env: dict[str, str], directory: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "state" / "lastword" / "flower"
    with running_flower(env, directory) as first:
        first.wait_until_up()
        assert listening(first) == {"127.0.0.1"}
        login = kept.read_text(encoding="utf-8").strip()
        assert kept.stat().st_mode & 0o777 == 0o600
        assert re.search(f"made now: {re.escape(login)}$", first.log, re.MULTILINE)
        assert not [part for part in psutil.Process(first.child.pid).cmdline() if login.partition(":")[2] in part]
        for page in ("/api/tasks", "/api/workers", "/", "/tasks"):
            assert first.status(page) == 401
            assert first.status(page, "lastword:wrong") == 401
            assert first.status(page, login) == 200
        assert first.status("/metrics") == 200, "always open, as the documentation says"
    with running_flower(env, directory) as second:
        second.wait_until_up()
        assert second.status("/api/tasks", login) == 200
        assert login.partition(":")[2] not in second.log, "shown once"
        assert str(kept) in second.log
    assert not list(directory.iterdir())


@pytest.mark.parametrize("how", ["variable", "file", "option"])
def test_a_password_of_ones_own_counts_and_none_is_made(
    env: dict[str, str], directory: Path, tmp_path: Path, how: str
) -> None:
    file = tmp_path / "logins"
    file.write_text("me:mine\nyou:yours\n", encoding="utf-8")
    own = {"variable": {"FLOWER_BASIC_AUTH": "me:mine"}, "file": {"FLOWER_BASIC_AUTH_FILE": str(file)}}
    options = ["--basic-auth=me:mine", "--address=localhost"] if how == "option" else []
    with running_flower(env | own.get(how, {}), directory, *options) as flower:
        flower.wait_until_up()
        assert flower.status("/api/tasks") == 401
        assert flower.status("/api/tasks", "me:mine") == 200
        assert flower.status("/api/tasks", "you:yours") == (200 if how == "file" else 401)
        assert "mine" not in flower.log
    assert not (tmp_path / "state").exists()


def test_a_login_that_is_none_is_refused(env: dict[str, str], directory: Path) -> None:
    with running_flower(env | {"FLOWER_BASIC_AUTH": "me:mine,hunter2"}, directory) as flower:
        assert wait_until(lambda: flower.child.exit_code, what="Flower's end") == 2
        assert "setting FLOWER_BASIC_AUTH: it should be user:password" in flower.log
        assert "hunter2" not in flower.log


def test_a_broker_url_that_cannot_be_read_is_refused_without_its_password(env: dict[str, str], directory: Path) -> None:
    with running_flower(env | {"CELERY_BROKER_URL": "redis://:hunter2/pw@127.0.0.1:1/1"}, directory) as flower:
        assert wait_until(lambda: flower.child.exit_code, what="Flower's end") == 2
        assert "setting CELERY_BROKER_URL: unreadable host" in flower.log
        assert "hunter2" not in flower.log
        assert "Traceback" not in flower.log


@pytest.mark.parametrize("app", ["tasks", "tasks.worker"])
def test_an_empty_password_is_none(env: dict[str, str], directory: Path, app: str) -> None:
    with running_flower(env | {"FLOWER_BASIC_AUTH": ""}, directory, app=app) as flower:
        flower.wait_until_up()
        assert listening(flower) == {"127.0.0.1"}
        assert flower.status("/api/tasks") == 401
        assert flower.status("/api/tasks", "") == 401
        assert flower.status("/api/tasks", ":") == 401


def test_it_is_open_only_for_those_who_ask_for_that(env: dict[str, str], directory: Path) -> None:
    with running_flower(env | {"FLOWER_UNAUTHENTICATED_API": "true"}, directory) as flower:
        flower.wait_until_up()
        assert flower.status("/api/tasks") == 200
        assert listening(flower) == {"127.0.0.1"}


@pytest.mark.parametrize("wrong", ["missing", "no colon", "unwritable"])
def test_a_password_that_cannot_be_had_ends_it_with_a_reason(
    env: dict[str, str], directory: Path, tmp_path: Path, wrong: str
) -> None:
    file = tmp_path / "logins"
    if wrong == "no colon":
        file.write_text("hunter2-and-more\n", encoding="utf-8")
    if wrong == "unwritable":
        file.write_text("", encoding="utf-8")
        env = env | {"XDG_STATE_HOME": str(file)}
    else:
        env = env | {"FLOWER_BASIC_AUTH_FILE": str(file)}
    with running_flower(env, directory) as flower:
        assert wait_until(lambda: flower.child.exit_code, what="Flower's end") == 2
        (line,) = [line for line in flower.log.splitlines() if line.startswith("lastword: ")]
        assert "FLOWER_BASIC_AUTH_FILE" in line
        assert str(file) in line
        assert "Traceback" not in flower.log
        assert "hunter2" not in flower.log
