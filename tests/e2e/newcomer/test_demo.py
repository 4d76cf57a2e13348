"""`make demo` as a person runs it, and interrupted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import REPOSITORY, check_ctrl_c, clean_env

DEMO = [sys.executable, "-m", "examples.demo"]


def test_the_demo_ends_with_every_product_at_its_newest() -> None:
    run = subprocess.run(
        DEMO, cwd=REPOSITORY, env=clean_env({}), capture_output=True, text=True, check=False, timeout=600
    )
    assert run.returncode == 0, run.stdout + run.stderr
    shown = re.search(r"products at their newest\s+(\d+) of (\d+)", run.stdout)
    assert shown is not None
    assert shown[1] == shown[2] == "299"
    assert "milliseconds are wanted" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


@pytest.mark.parametrize("begun", ["Kafka 127", "published"])
def test_ctrl_c_stops_everything_the_demo_has_started(tmp_path: Path, begun: str) -> None:
    check_ctrl_c(DEMO, tmp_path / "demo.log", begun, children=3)
