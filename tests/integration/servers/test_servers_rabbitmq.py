"""RabbitMQ as a child process, where the system's packages have it."""

from pathlib import Path

import psutil
import pytest
from celery import Celery
from kombu import Connection

from lastword.broker.reach import reach_broker
from servers import ServerError
from servers.ports import accepts
from servers.rabbitmq import RabbitMQ
from tests.celery_brokers import RabbitBroker
from tests.programs import RABBITMQ
from tests.waiting import gone, wait_until

pytestmark = RABBITMQ.mark


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


def test_it_is_killed_paused_and_controlled_itself_not_a_shell_around_it(tmp_path: Path) -> None:
    with RabbitMQ(tmp_path / "rabbitmq") as server:
        server.kill()
        assert not accepts(server.port)
        server.start()
        server.control("set_vm_memory_high_watermark", "absolute", "1")
        assert "memory" in server.control("eval", "rabbit_alarm:get_alarms().")
        with pytest.raises(ServerError, match="no_such_command"):
            server.control("no_such_command")
        server.pause()
        process = psutil.Process(server.pid)
        assert process.name() == "beam.smp"
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, what="the server's standstill")
        server.resume()
        assert server.version


def test_what_it_refuses_is_waited_for_with_its_reason(rabbit_broker: RabbitBroker) -> None:
    address = rabbit_broker.url.partition("@")[2].rstrip("/")
    for url, reason in (
        (f"amqp://guest:hunter2@{address}//", "ACCESS_REFUSED"),
        (f"amqp://guest:guest@{address}/nowhere", "vhost nowhere not found"),
    ):
        with pytest.raises(ConnectionError, match=reason) as raised:
            reach_broker(Celery("test", broker=url))
        assert "hunter2" not in str(raised.value)
