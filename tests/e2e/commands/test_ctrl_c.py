"""Ctrl-C while a command is imported and while it ends: no traceback, nothing left, and an exit code that says so.

Not after so many milliseconds, which are other moments on another machine: a `sitecustomize` in the process sends the
signal at an import of so many after our first line. What comes before that is Python's own start, or Celery's.
"""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers.ports import free_port
from tests.commands import REPOSITORY, clean_env

pytestmark = pytest.mark.timeout(180)

STRIKE = """\
import atexit, os, signal, sys

moment = os.environ.pop("STRIKE_AT", "")
left = int(moment) if moment.isdecimal() else 0

def strike():
    os.kill(os.getpid(), signal.SIGINT)

def count(event, _):
    global left
    if left and event == "import" and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        left -= 1
        if not left:
            strike()

sys.addaudithook(count)
if moment == "end":
    atexit.register(strike)
"""
IMPORTS = ("1", "10", "60", "120")
SAID = "lastword: interrupted\n"


def start(directory: Path, moment: str, *arguments: str) -> subprocess.Popen[str]:
    sitecustomize = directory / "sitecustomize.py"
    if not sitecustomize.exists():  # another process may be reading it
        sitecustomize.write_text(STRIKE)
    nobody = f"127.0.0.1:{free_port()}"
    environment = {
        "STRIKE_AT": moment,
        "PYTHONPATH": str(directory),
        "XDG_STATE_HOME": str(directory),
        "KAFKA_BOOTSTRAP_SERVERS": nobody,
        "ZOOKEEPER_HOSTS": nobody,
        "REDIS_URL": f"redis://{nobody}/0",
        "CELERY_BROKER_URL": f"redis://{nobody}/1",
        "LASTWORD_STARTUP_DEADLINE_S": "0",
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=clean_env(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and what was said; nobody is left who could say more, or be in its group."""
    said = process.communicate(timeout=150)[0]
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


@pytest.mark.parametrize(
    "command",
    [
        "bridge",
        "bridge verify",
        "servers status",
        "servers.lock",
        "examples.cdc",
        "examples.demo",
        "examples.shop",
        "examples.up",
        "benchmarks --quick",
        "benchmarks.stages",
        "tests.soak",
        "celery -A tasks worker",
        "celery -A tasks flower",
        "celery -A tasks status",
    ],
)
def test_while_it_is_imported_it_is_one_line(tmp_path: Path, command: str) -> None:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(start(tmp_path, moment, "-m", *command.split()))
            for moment in IMPORTS[: 2 if command == "servers.lock" else None]
        ]
        assert [ended(process) for process in processes] == [(130, SAID)] * len(processes)


def test_the_installed_command_too(tmp_path: Path) -> None:
    script = str(Path(sys.executable).with_name("lastword"))
    with start(tmp_path, "1", script, "run") as first, start(tmp_path, "100", script, "run") as later:
        assert ended(first) == ended(later) == (130, SAID)


@pytest.mark.parametrize(("command", "code"), [("bridge", 3), ("servers status", 1), ("celery -A tasks worker", 3)])
def test_when_it_has_ended_it_is_nothing(tmp_path: Path, command: str, code: int) -> None:
    with start(tmp_path, "end", "-m", *command.split()) as process:
        told, said = ended(process)
    assert told == code, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "interrupted" not in said


RUN = """\
import os, signal, time
from tasks import interrupt

def strike():
    os.kill(os.getpid(), signal.SIGINT)

{}

interrupt.run(main)
"""
SWALLOWED = """\
class Thing:
    def __del__(self):
        strike()

def main():
    Thing()
    time.sleep(60)
"""
TWICE = """\
def main():
    try:
        strike()
        time.sleep(60)
    finally:
        strike()
        print("cleaned up", flush=True)
"""
AFTER_ALL = """\
def main():
    return 7

import atexit
atexit.register(strike)
"""


@pytest.mark.parametrize(
    ("program", "wanted"),
    [(SWALLOWED, (130, SAID)), (TWICE, (130, f"cleaned up\n{SAID}")), (AFTER_ALL, (7, ""))],
    ids=["swallowed by Python", "twice", "after all"],
)
def test_the_first_counts_wherever_it_comes(tmp_path: Path, program: str, wanted: tuple[int, str]) -> None:
    with start(tmp_path, "", "-c", RUN.format(program)) as process:
        assert ended(process) == wanted


def test_who_imports_us_keeps_their_own_way(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "__init__.py").write_text("import lastword.publisher.publisher, servers, tasks\n")
    shows = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    (theirs / "__main__.py").write_text(shows)
    with start(tmp_path, "", "-m", "theirs", "bridge") as process:
        assert ended(process) == (0, "True\n")
