"""Workers on one machine that nobody has given a name."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lastword.broker.consumers import read_consumers
from servers import Reachable, ReachableRedis
from servers.process import Child
from tests.commands import REPOSITORY, clean_env
from tests.task_helpers import client_app, open_site
from tests.waiting import wait_until


@contextmanager
def nameless(env: dict[str, str], log: Path, *options: str) -> Iterator[Child]:
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-l", "INFO", *options]
    child = Child(command, directory=REPOSITORY, log_file=log, environment=clean_env(env))
    try:
        wait_until(lambda: " ready." in log.read_text() or child.exit_code is not None, what=f"{log.name} to be ready")
        yield child
    finally:
        child.stop(60)


@pytest.mark.core
def test_each_has_a_name_of_its_own_and_a_free_one_is_taken_again(
    redis_server: ReachableRedis, own_redis: ReachableRedis, zookeeper_server: Reachable, tmp_path: Path
) -> None:
    names = tmp_path / "names"
    names.mkdir()
    with ExitStack() as stack, open_site(redis_server, own_redis, zookeeper_server) as site:
        env = site.env | {"TMPDIR": str(names)}

        def found() -> list[str]:
            app = client_app(env["CELERY_BROKER_URL"])
            try:
                return sorted(one.worker.partition("@")[0] for one in read_consumers(app).known)
            finally:
                app.close()

        stack.enter_context(nameless(env, tmp_path / "1"))
        second = stack.enter_context(nameless(env, tmp_path / "2", "-P", "processes", "-c", "1"))
        stack.enter_context(nameless(env, tmp_path / "3", "-n", "mine@%h"))
        wait_until(lambda: found() == ["celery", "celery2", "mine"], what="three names")
        second.kill()
        stack.enter_context(nameless(env, tmp_path / "4"))
        assert "celery2@" in (tmp_path / "4").read_text()
        assert "DuplicateNodename" not in (tmp_path / "4").read_text()
