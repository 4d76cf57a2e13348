"""`make cdc` as a person runs it, and interrupted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import REPOSITORY, check_ctrl_c, clean_env
from tests.programs import POSTGRESQL

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
    check_ctrl_c(CDC, tmp_path / "cdc.log", begun, children=5)
