"""`make demo` as a person runs it, and interrupted."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.commands import REPOSITORY, clean_env
from tests.waiting import wait_until

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
    log = tmp_path / "demo.log"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            DEMO, cwd=REPOSITORY, env=clean_env({}), stdout=output, stderr=subprocess.STDOUT, process_group=0
        )
    wait_until(lambda: begun in log.read_text(encoding="utf-8"), what=begun)
    children = psutil.Process(demo.pid).children(recursive=True)
    assert len(children) >= 3
    demo.send_signal(signal.SIGINT)
    assert demo.wait(120) == 130
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
