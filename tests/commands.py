"""The commands as processes, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from servers import Reachable, ReachableRedis
from tests.injected.constants import with_call_timeout
from tests.kafka_helpers import create_topic
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[1]
BRIDGE = ["-m", "bridge"]
PUBLISH = ["-m", "bridge", "publish"]
WORKER = ["-m", "celery", "-A", "tasks", "worker", "-P", "solo", "--without-gossip", "--without-mingle"]
TIMEOUT_S = 180.0
PASSWORD = "hunter2-and-more"  # noqa: S105 - what must not be seen
ONE_SECOND = {
    "LASTWORD_STARTUP_DEADLINE_S": "1",
    **with_call_timeout({}, 0.3),  # ZooKeeper's client tries for as long to connect
}


class Ended:
    """What a process left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err
        assert "Traceback" not in out + err, out + err
        assert PASSWORD not in out + err

    @property
    def complaints(self) -> list[str]:
        """What the program itself said on standard error."""
        return [line.removeprefix("lastword: ") for line in self.err.splitlines() if line.startswith("lastword: ")]


def run(arguments: Sequence[str], env: Mapping[str, str], *, stdin: str | bytes = b"") -> Ended:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=clean_env(env),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def clean_env(env: Mapping[str, str]) -> dict[str, str]:
    """Our environment without any setting, and then ``env``."""
    ours = ("LASTWORD_", "KAFKA_", "REDIS_", "CELERY_", "ZOOKEEPER_", "FLOWER_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(env)


class Running:
    """A process in the background; what it says goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        def found() -> bool:
            ended = self._process.poll()
            assert text in self.said or ended is None, f"ended with {ended}:\n{self.said}"
            return text in self.said

        wait_until(found, what=f"{text!r} in:\n{self.said}")

    def wait(self) -> Ended:
        """Wait until it ends by itself."""
        return Ended(self._process.wait(TIMEOUT_S), "", self.said)

    def end(self, number: signal.Signals) -> Ended:
        self._process.send_signal(number)
        return self.wait()


@contextmanager
def running(arguments: Sequence[str], env: Mapping[str, str], directory: Path) -> Iterator[Running]:
    log = directory / "said"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=clean_env(env),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()


def check_ctrl_c(command: Sequence[str], log: Path, begun: str, *, children: int) -> None:
    """Interrupt a command that has said ``begun``: it ends with 130, no traceback, and none of its processes stays."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=clean_env({}), stdout=output, stderr=subprocess.STDOUT, process_group=0
        )
    wait_until(lambda: begun in log.read_text(encoding="utf-8"), what=begun)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= children
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert "Traceback" not in log.read_text(encoding="utf-8")
    assert not [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def working_env(
    kafka_server: Reachable, redis_server: ReachableRedis, zookeeper_server: Reachable, topic: str, group: str
) -> dict[str, str]:
    """Settings with which everything can be reached; the topics are there."""
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt")
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server.address,
        "REDIS_URL": redis_server.url(),
        "CELERY_BROKER_URL": redis_server.url(1),
        "ZOOKEEPER_HOSTS": zookeeper_server.address,
        "LASTWORD_ZOOKEEPER_ROOT": f"/{uuid.uuid4()}",
        "LASTWORD_KEY_PREFIX": f"{uuid.uuid4()}:",  # of one topic alone
        "LASTWORD_TOPIC": topic,
        "LASTWORD_CONSUMER_GROUP": group,
        "LASTWORD_STARTUP_DEADLINE_S": "20",
    }


def change(entity_id: str, **fields: object) -> str:
    return json.dumps({"product_id": entity_id, "updated_at": "2026-01-01T00:00:00Z", "data": {}, **fields})
