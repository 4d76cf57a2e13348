"""Beside a service's own code: packages named tasks and bridge, and a celeryconfig.py, all of them somebody else's."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from servers import Reachable
from tests.commands import ONE_SECOND, clean_env
from tests.e2e.conftest import Install, Run
from tests.worker_helpers import REPOSITORY

FOREIGN = ("tasks", "bridge")
NOWHERE = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "REDIS_URL": "redis://127.0.0.1:1/0"}
MODULES = """
import sys
from lastword import Change, Publisher
ours = {"bridge", "tasks", "celeryconfig", "celery", "kombu", "flower", "kazoo", "redis"}
print(Publisher.__name__, *sorted(ours & {name.partition(".")[0] for name in sys.modules}))
"""
PUBLISH = """
import bridge, celeryconfig, tasks
from datetime import UTC, datetime
from lastword import Change, Publisher
assert (bridge.whose, tasks.whose, celeryconfig.whose) == ("theirs",) * 3
with Publisher.from_environment() as publisher:
    publisher.publish(Change(product_id=42, updated_at=datetime.now(UTC), sequence=7, data={"price": "8.90"}))
    publisher.flush(120)  # a Kafka that has only just started takes its time
print("published")
"""


WHAT_READS_IT = pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("worker", "-c", "1"),
        ("inspect", "42"),
        ("verify",),
        ("verify", "--repair"),
        ("replay", "--all-records"),
    ],
    ids=" ".join,
)


class Ended(NamedTuple):
    code: int
    output: str


def ended(*command: str | Path, directory: Path, **env: str) -> Ended:
    environment = {name: value for name, value in clean_env(env).items() if name != "VIRTUAL_ENV"}
    if "PYTHONPATH" not in env:
        environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout)


def theirs(place: Path, *, packages: bool = True) -> Path:
    """A folder with a service's own packages; without ``packages`` they have no ``__init__.py``."""
    for name in FOREIGN:
        (place / name).mkdir(parents=True)
        (place / name / ("__init__.py" if packages else "views.py")).write_text("whose = 'theirs'\n")
    (place / "celeryconfig.py").write_text("whose = 'theirs'\nbroker_url = 'redis://127.0.0.1:1/7'\n")
    return place


@pytest.fixture(scope="session")
def library(wheel: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """The bin folder of an environment that has what ``pip install lastword`` brings, at the versions of the lock."""
    home = tmp_path_factory.mktemp("library") / "venv"
    uv = (sys.executable, "-m", "uv", "--system-certs", "pip")
    run(sys.executable, "-m", "venv", "--without-pip", home, directory=home.parent)
    pins = "\n".join(
        line.partition(" \\")[0] for line in (REPOSITORY / "requirements.lock").read_text().splitlines() if "==" in line
    )
    (home.parent / "pins.txt").write_text(pins)
    constrained = ("--constraint", home.parent / "pins.txt")
    run(*uv, "install", "--python", home / "bin" / "python", *constrained, wheel, directory=home.parent)
    return home / "bin"


@pytest.fixture
def pipeline(install: Install) -> Path:
    """The bin folder of an environment that has all of it."""
    return install("3.11")


@pytest.mark.parametrize("packages", [True, False], ids=["packages", "folders"])
@pytest.mark.parametrize("by_path", [True, False], ids=["PYTHONPATH", "working folder"])
def test_the_library_imports_nothing_that_the_pipeline_needs(
    library: Path, tmp_path: Path, *, packages: bool, by_path: bool
) -> None:
    place = theirs(tmp_path / "service", packages=packages)
    env = {"PYTHONPATH": str(place)} if by_path else {}
    directory = tmp_path if by_path else place
    assert ended(library / "python", "-c", MODULES, directory=directory, **env) == (0, "Publisher\n")


def test_a_service_publishes_beside_its_own_packages(
    library: Path, tmp_path: Path, kafka_server: Reachable, topic: str
) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": kafka_server.address, "LASTWORD_TOPIC": topic}
    directory = theirs(tmp_path / "service")
    line = tmp_path / "lines"
    line.write_text('{"product_id": "43", "updated_at": 1763800000000, "data": 1}\n')
    beside = {**env, "LASTWORD_CREATE_TOPICS": "8", "PYTHONPATH": str(directory)}
    said = ended(library / "lastword", "publish", line, directory=directory, **beside)
    assert said.code == 0, said.output
    assert "published 1 records" in said.output
    said = ended(library / "python", "-c", PUBLISH, directory=directory, **env)
    assert said.code == 0, said.output
    assert said.output.endswith("published\n")


@pytest.mark.parametrize("command", ["dead-letters", "inspect", "replay", "run", "verify", "worker"])
def test_what_is_not_installed_is_named_with_the_way_to_it(library: Path, tmp_path: Path, command: str) -> None:
    said = ended(library / "lastword", command, directory=tmp_path)
    assert said.code == 2
    assert said.output.startswith(f"Error: 'lastword {command}' needs ")
    assert said.output.endswith(", which is not installed: pip install 'lastword[pipeline]'\n")


def test_the_list_of_commands_needs_none_of_it(library: Path, tmp_path: Path) -> None:
    said = ended(library / "lastword", directory=tmp_path)
    assert "publish" in said.output
    assert "worker" in said.output


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("command", ["dead-letters", "inspect", "replay", "run", "verify", "worker"])
def test_a_foreign_package_is_named_with_its_place(pipeline: Path, tmp_path: Path, command: str, foreign: str) -> None:
    (tmp_path / foreign).mkdir()
    (tmp_path / foreign / "__init__.py").touch()
    said = ended(pipeline / "lastword", command, directory=tmp_path, PYTHONPATH=str(tmp_path))
    assert said.code == 2
    assert said.output.startswith(f"Error: a foreign package named {foreign!r} stands in the way of Lastword's own: ")
    assert str(tmp_path / foreign) in said.output
    assert said.output.count("\n") == 1


def test_celery_would_look_into_the_working_folder_first(pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").touch()
    said = ended(pipeline / "lastword", "worker", directory=tmp_path)
    assert said.code == 2
    assert str(tmp_path / "tasks.py") in said.output


def test_folders_that_are_no_packages_stand_in_nobodys_way(pipeline: Path, tmp_path: Path) -> None:
    place = theirs(tmp_path / "service", packages=False)
    (place / "celeryconfig.py").unlink()
    said = ended(pipeline / "lastword", "worker", "--help", directory=place)
    assert said.code == 0, said.output
    assert "Start worker instance" in said.output


@WHAT_READS_IT
def test_a_foreign_celeryconfig_with_which_nothing_would_arrive_is_refused(
    pipeline: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "celeryconfig.py").write_text("broker_url = 'redis://127.0.0.1:1/7'\ntask_acks_late = True\n")
    said = ended(pipeline / "lastword", *command, directory=tmp_path, **NOWHERE, **ONE_SECOND)
    assert said.code == 2, said.output
    place = tmp_path / "celeryconfig.py"
    assert f"lastword: {place}: task_acks_late is True; Lastword's own is False\n" in said.output
    assert (
        f"lastword: {place}: worker_pool is 'prefork'; Lastword's own is 'tasks.groups.pool:GroupPool'\n" in said.output
    )
    assert f"lastword: {place}: no task would arrive: the queue is 'celery', Celery's own default" in said.output
    assert "Traceback" not in said.output


def test_one_that_takes_ours_and_changes_something_is_followed(pipeline: Path, tmp_path: Path) -> None:
    own = "from lastword.celeryconfig import *\nworker_send_task_events = False\n"
    (tmp_path / "celeryconfig.py").write_text(own)
    said = ended(pipeline / "lastword", "worker", "-c", "1", directory=tmp_path, **NOWHERE, **ONE_SECOND)
    assert said.code == 3, said.output
    differences = [line for line in said.output.splitlines() if "Lastword's own is" in line]
    assert differences == [
        f"lastword: {tmp_path / 'celeryconfig.py'}: worker_send_task_events is False; Lastword's own is True"
    ]


def test_one_whose_tasks_could_not_be_read_is_refused(pipeline: Path, tmp_path: Path) -> None:
    own = "from lastword.celeryconfig import *\naccept_content = ['msgpack']\n"
    (tmp_path / "celeryconfig.py").write_text(own)
    said = ended(pipeline / "lastword", "worker", "-c", "1", directory=tmp_path, **NOWHERE, **ONE_SECOND)
    assert said.code == 2, said.output
    assert "no task would be taken: they are JSON, accept_content is ['msgpack']" in said.output


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("task_acks_late = = 1\n", "SyntaxError: invalid syntax (celeryconfig.py, line 1)"),
        ("import absent\n", "ModuleNotFoundError: No module named 'absent' (line 1)"),
        ("\nraise ValueError('two\\nlines')\n", "ValueError: two lines (line 2)"),
    ],
    ids=["SyntaxError", "ImportError", "ValueError"],
)
@WHAT_READS_IT
def test_one_that_cannot_be_read_is_named_with_its_error(
    pipeline: Path, tmp_path: Path, command: tuple[str, ...], text: str, error: str
) -> None:
    (tmp_path / "celeryconfig.py").write_text(text)
    said = ended(pipeline / "lastword", *command, directory=tmp_path, **NOWHERE, **ONE_SECOND)
    assert said == (2, f"lastword: {tmp_path / 'celeryconfig.py'}: {error}\n")
