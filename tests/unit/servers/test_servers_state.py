import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from servers.errors import ServerError
from servers.state import Process, ServerState, State, read_state, remove_state
from tests.waiting import wait_until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    me = Process.of(os.getpid())
    state = State(me, (ServerState("redis", "Redis", "9.1", "127.0.0.1:6379", "/log", me),))
    state.write(tmp_path)
    assert read_state(tmp_path) == state
    state = replace(state, servers=(replace(state.servers[0], process=None),))
    state.write(tmp_path)
    assert read_state(tmp_path) == state
    assert state.processes == (me,)
    assert state.servers[0].port == 6379
    assert [path.name for path in tmp_path.iterdir()] == ["servers.json"]


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    remove_state(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"up": 1, "servers": []}', '{"up": {}, "servers": [{}]}'])
def test_another_file_is_named_in_the_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "servers.json").write_text(content)
    with pytest.raises(ServerError, match=r"servers\.json is not the state file"):
        read_state(tmp_path)


def test_a_process_is_alive_until_it_ends_though_nobody_reaped_it(sleeper: subprocess.Popen[bytes]) -> None:
    process = Process.of(sleeper.pid)
    assert process.alive
    process.send(signal.SIGKILL)
    wait_until(lambda: not process.alive, what="the end of the killed process")
    assert sleeper.wait(120) == -signal.SIGKILL


def test_a_process_that_has_the_id_of_an_earlier_one_gets_no_signal(sleeper: subprocess.Popen[bytes]) -> None:
    earlier = replace(Process.of(sleeper.pid), started="before")
    assert not earlier.alive
    earlier.send(signal.SIGKILL)
    sleeper.terminate()
    assert sleeper.wait(120) == -signal.SIGTERM


def test_there_is_no_process_of_an_id_that_ended(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait(120)
    with pytest.raises(ServerError, match="no process"):
        Process.of(sleeper.pid)
