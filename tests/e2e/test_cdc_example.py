"""`make cdc` as a person runs it, and interrupted."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.commands import REPOSITORY, clean_env
from tests.programs import POSTGRESQL
from tests.waiting import wait_until

pytestmark = POSTGRESQL.mark

CDC = [sys.executable, "-m", "examples.cdc"]


def test_it_ends_with_redis_equal_to_the_database() -> None:
    run = subprocess.run(
        CDC, cwd=REPOSITORY, env=clean_env({}), capture_output=True, text=True, check=False, timeout=600
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"rows that differ\s+0\s", run.stdout)
    assert re.search(r"dead-lettered\s+0\s", run.stdout)
    assert "read again" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


@pytest.mark.parametrize("begun", ["Kafka Connect 127", "an incremental snapshot"])
def test_ctrl_c_stops_everything_it_has_started(tmp_path: Path, begun: str) -> None:
    log = tmp_path / "cdc.log"
    with log.open("wb") as output:
        cdc = subprocess.Popen(
            CDC, cwd=REPOSITORY, env=clean_env({}), stdout=output, stderr=subprocess.STDOUT, process_group=0
        )
    wait_until(lambda: begun in log.read_text(encoding="utf-8"), what=begun)
    children = psutil.Process(cdc.pid).children(recursive=True)
    assert len(children) >= 5
    cdc.send_signal(signal.SIGINT)
    assert cdc.wait(120) == 130
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
