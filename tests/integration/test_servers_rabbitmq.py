"""RabbitMQ as a child process, where the system's packages have it; CI must have it."""

import os
from pathlib import Path

import psutil
import pytest
from kombu import Connection

from servers.ports import accepts
from servers.rabbitmq import RabbitMQ, is_installed
from tests.waiting import gone, wait_until

pytestmark = pytest.mark.skipif(
    not is_installed() and not os.environ.get("CI"), reason="RabbitMQ is not installed (apt install rabbitmq-server)"
)


def test_it_takes_and_gives_a_message_and_leaves_no_process(tmp_path: Path) -> None:
    others = psutil.Process().children(recursive=True)
    with RabbitMQ(tmp_path / "rabbitmq") as server:
        assert server.version[0].isdigit()
        with Connection(server.url) as connection, connection.SimpleQueue("q") as queue:
            queue.put("hello")
            assert queue.get(timeout=10).payload == "hello"
        children = [child for child in psutil.Process().children(recursive=True) if child not in others]
        assert {"epmd", "beam.smp"} <= {child.name() for child in children}
    assert not accepts(server.port)
    wait_until(lambda: all(gone(child.pid) for child in children), what=f"the end of {children}")
