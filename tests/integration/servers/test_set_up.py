"""`scripts/set_up.py`, which `make` runs first: in a folder of its own, without the network."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.commands import REPOSITORY
from tests.waiting import gone, wait_until

pytestmark = pytest.mark.timeout(240)

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "lastword"
version = "1"
"""
# Of the standard library alone: an editable wheel of nothing.
BACKEND = """\
import zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    info = "lastword-1.dist-info"
    with zipfile.ZipFile(f"{directory}/lastword-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: lastword\\nVersion: 1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "lastword-1-py3-none-any.whl"
"""
SLEEPS = "import os, time\nopen('sleeping', 'w').write(str(os.getpid()))\ntime.sleep(300)\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """A folder that can be set up, with nothing in its lock."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "set_up.py", tmp_path / "scripts")
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    yield tmp_path
    shutil.rmtree(tmp_path / ".venv", ignore_errors=True)


def lock_a_package(project: Path) -> None:
    wheel = project / "wheels" / "tiny-1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        file.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.dist-info/RECORD", "")
        file.writestr("tiny.py", "")
    said = subprocess.run([sys.executable, "-m", "pip", "hash", wheel], capture_output=True, text=True, check=True)
    found = said.stdout.split()[-1]
    lock = f"tiny==1 {found}\nelsewhere==1 ; sys_platform == 'win32' {found}\n"
    (project / "requirements.lock").write_text(lock)


def start(project: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project / "wheels")}
    return subprocess.Popen(
        [sys.executable, *options, project / "scripts" / "set_up.py"],
        cwd=project,
        env={**os.environ, **offline, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def set_up(project: Path, **environment: str) -> tuple[int, str]:
    with start(project, **environment) as process:
        said = process.communicate(timeout=200)[0]
    assert "Traceback" not in said, said
    return process.returncode, said


def test_it_says_each_step_and_installs_what_the_lock_pins(project: Path) -> None:
    lock_a_package(project)
    code, said = set_up(project)
    assert code == 0, said
    wanted = ["Setting up .venv, once", "Making .venv", "Fetching packages", "Installing packages"]
    steps = [line for line in said.splitlines() if ":" not in line]
    assert steps[:-1] == [*wanted, "Installing lastword itself"]
    assert steps[-1].startswith("Set up in ")
    assert list((project / ".venv").glob("lib/python*/site-packages/tiny.py"))


def test_what_cannot_be_had_is_said_as_pip_said_it_and_the_next_run_starts_over(project: Path) -> None:
    lock = project / "requirements.lock"
    lock.write_text("no-such-package==1 --hash=sha256:" + 64 * "0" + "\n")
    code, said = set_up(project)
    assert code == 1
    assert "pip ended with exit code 1; it said:" in said
    assert "No matching distribution found for no-such-package==1" in said

    (project / ".venv" / "left-behind").touch()
    lock.write_text("")
    code, said = set_up(project)
    assert code == 0, said
    assert not (project / ".venv" / "left-behind").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_process_and_no_traceback(project: Path, number: signal.Signals) -> None:
    (project / "backend.py").write_text(SLEEPS)
    with start(project) as process:
        wait_until((project / "sleeping").exists, deadline_s=200, what="the build")
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        os.killpg(process.pid, number)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number
    assert said.splitlines()[-1] == "interrupted; the next make starts over"
    assert "Traceback" not in said
    wait_until(lambda: all(gone(child.pid) for child in children), what="the end of pip and what it started")


def test_an_old_python_is_one_line(project: Path) -> None:
    script = project / "scripts" / "set_up.py"
    old = f"import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Python 3.11 or later is needed, Python ")
    assert done.stderr.endswith(f" is what '{sys.executable}' is: make PYTHON=python3.12 …\n")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's certificates are not in a file")
@pytest.mark.parametrize(
    ("environment", "config", "given"),
    [
        ({}, [":env:.no-index='1'"], True),
        ({"PIP_CERT": "theirs"}, [], False),
        ({"REQUESTS_CA_BUNDLE": "theirs"}, [], False),
        ({}, ["global.cert='/theirs'"], False),
    ],
)
def test_pip_is_given_the_systems_certificates_unless_others_are_named(
    tmp_path: Path, environment: dict[str, str], config: list[str], *, given: bool
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    script = str(REPOSITORY / "scripts" / "set_up.py")
    ask = f"import runpy; print(runpy.run_path({script!r})['certificates']({config!r}))"
    env = environment | {"SSL_CERT_FILE": str(bundle)}
    told = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == f"{ {'PIP_CERT': str(bundle)} if given else {} }\n"
