"""docker-compose.yml read as Compose reads it, and its services run without an engine, on servers of ours."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from servers.process import Child
from tests.commands import clean_env
from tests.waiting import DEADLINE_S, wait_until
from tests.worker_helpers import REPOSITORY

OURS = ("worker", "bridge", "flower")


def read_services() -> dict[str, dict[str, Any]]:
    """Each service of the Compose file, anchors and merge keys resolved."""
    document = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
    services: dict[str, dict[str, Any]] = document["services"]
    return services


def seconds(duration: str) -> float:
    """A Compose duration such as ``35s``."""
    assert duration.endswith("s"), duration
    return float(duration.removesuffix("s"))


@dataclass
class Service:
    """A service of ours: its command and its health check as the Compose file has them, with other addresses."""

    name: str
    definition: Mapping[str, Any]
    bin: Path
    directory: Path
    replaced: Mapping[str, str]
    added: Mapping[str, str]
    child: Child | None = field(default=None, init=False)

    @property
    def log_file(self) -> Path:
        return self.directory / "log"

    @property
    def env(self) -> dict[str, str]:
        given = {name: self._replace(value) for name, value in self.definition["environment"].items()}
        return clean_env({**given, **self.added}) | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}

    def start(self) -> None:
        command = [self._replace(part) for part in self.definition["command"]]
        program = shutil.which(command[0], path=str(self.bin))
        assert program is not None, f"{command[0]} is not in the image"
        work = self.directory / "work"
        work.mkdir(parents=True, exist_ok=True)
        self.child = Child([program, *command[1:]], directory=work, log_file=self.log_file, environment=self.env)

    def is_healthy(self) -> bool:
        """What the health check says now, by its exit code, within its own timeout."""
        check = self.definition["healthcheck"]
        script = self._replace(check["test"].replace("$$", "$"))
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", script],
                env=self.env,
                capture_output=True,
                check=False,
                timeout=seconds(check["timeout"]),
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def wait_until_healthy(self, *, deadline_s: float = DEADLINE_S) -> None:
        def healthy() -> bool:
            assert self.child is not None
            assert self.child.exit_code is None, self.log_file.read_text(encoding="utf-8")
            return self.is_healthy()

        wait_until(healthy, deadline_s=deadline_s, what=f"the health of {self.name}")

    def wait_until_unhealthy(self) -> None:
        wait_until(lambda: not self.is_healthy(), what=f"the ill health of {self.name}")

    def stop(self) -> int | None:
        """As ``docker stop`` does; the exit code, -9 past the grace period."""
        if self.child is None:
            return None
        self.child.stop(seconds(self.definition["stop_grace_period"]))
        return self.child.exit_code

    def die(self) -> None:
        assert self.child is not None
        self.child.kill()

    def freeze(self, number: signal.Signals) -> None:
        """Stop (SIGSTOP) or resume (SIGCONT) the service and its children."""
        assert self.child is not None
        main = psutil.Process(self.child.pid)
        for process in [main, *main.children(recursive=True)]:
            process.send_signal(number)

    def _replace(self, text: str) -> str:
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        return text


@contextmanager
def services(
    bin_folder: Path, directory: Path, replaced: Mapping[str, str], added: Mapping[str, str]
) -> Iterator[dict[str, Service]]:
    """Our services, none of them started; all stopped on exit, in the order in which Compose stops them."""
    definitions = read_services()
    made = {}
    for name in OURS:
        own = directory / name
        own.mkdir(parents=True)
        home = {"/tmp/heartbeat": str(own / "heartbeat"), "/var/lib/lastword": str(own / "state")}  # noqa: S108
        made[name] = Service(name, definitions[name], bin_folder, own, {**replaced, **home}, added)
    try:
        yield made
    except BaseException:
        for service in made.values():
            if service.log_file.exists():
                print(f"--- {service.name}\n{service.log_file.read_text(encoding='utf-8')[-4_000:]}")
        raise
    finally:
        for name in ("bridge", "worker", "flower"):
            made[name].stop()


def dockerfile() -> list[tuple[str, list[str]]]:
    """The Dockerfile's instructions, each with its words; continued lines joined."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(words[0], words[1:]) for words in map(shlex.split, lines)]
