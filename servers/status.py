"""What ``python -m servers status`` shows: of each server its role, its state and its memory, asked from outside."""

import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis import Redis as Client
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from servers.identity import stored_in_kafka
from servers.kafka import DATA, silent
from servers.kafka_cluster import NO_ELECTION, read_election
from servers.ports import LOOPBACK, accepts
from servers.state import ServerState
from servers.zookeeper import ask, mode_in

ANSWER_TIMEOUT_S = 3.0

Condition = Literal["up", "does not answer", "paused", "stopped", "gone"]


@dataclass(frozen=True)
class Status:
    """A server as it is now. ``role``: what it is to the others, as far as it can be asked."""

    condition: Condition
    role: str = ""
    memory_bytes: int | None = None


def look(servers: Sequence[ServerState]) -> list[Status]:
    """Ask all servers at once; those that do not answer delay it by a few seconds, together."""
    kafka = (server for server in servers if server.kind == "Kafka" and server.process and server.process.alive)
    _, controller = max((read_election(server.directory) for server in kafka), default=NO_ELECTION)
    with ThreadPoolExecutor(max_workers=len(servers)) as pool:
        return list(pool.map(lambda server: _look_at(server, controller), servers))


def print_table(directory: Path, servers: Sequence[ServerState], status: Sequence[Status] | None = None) -> None:
    """Show the servers, with ``status`` how they are, and where their logs are."""
    table = Table()
    for name in ("Server", "Version", "Address", "Process", *(("Role", "State", "Memory") if status else ())):
        # Nothing is cut off: a name is there to be copied into `kill NAME`.
        table.add_column(name, no_wrap=name == "Server", overflow="fold")
    for position, server in enumerate(servers):
        cells = _cells(status[position]) if status else []
        pid = str(server.process.pid) if server.process else ""
        table.add_row(server.name, server.version, server.address, pid, *cells)
    Console().print(table)
    click.echo(f"Logs: {directory.absolute()}/*/server.log")


def _cells(status: Status) -> list[str]:
    memory = "" if status.memory_bytes is None else f"{status.memory_bytes / 2**20:.0f} MiB"
    return [status.role, status.condition, memory]


def _look_at(server: ServerState, controller: int) -> Status:
    if server.process is None:
        return Status("stopped")
    try:
        if not server.process.alive:
            return Status("gone")
        process = psutil.Process(server.process.pid)
        memory_bytes = sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
        if process.status() == psutil.STATUS_STOPPED:
            return Status("paused", memory_bytes=memory_bytes)
    except psutil.NoSuchProcess:
        return Status("gone")
    role = _role(server, controller)
    return Status("up" if role else "does not answer", role or "", memory_bytes)


def _role(server: ServerState, controller: int) -> str | None:
    try:
        match server.kind:
            case "ZooKeeper":
                with socket.create_connection((LOOPBACK, server.port), timeout=ANSWER_TIMEOUT_S) as connection:
                    return mode_in(ask(connection, "srvr"))
            case "Redis":
                return _redis_role(server.port)
            case "Kafka":
                return _kafka_role(server, controller)
            case _:
                return "Celery broker" if accepts(server.port) else None
    except (OSError, RedisError, KafkaException):
        return None


def _redis_role(port: int) -> str:
    with Client(port=port, socket_timeout=ANSWER_TIMEOUT_S, decode_responses=True) as client:
        replication: Mapping[str, str] = client.info("replication")
    return {"master": "primary", "slave": "replica"}[replication["role"]]


def _kafka_role(server: ServerState, controller: int) -> str | None:
    if not accepts(server.port):  # librdkafka would try again until the timeout
        return None
    node_id = int(stored_in_kafka(server.directory / DATA)["node.id"])
    admin = AdminClient({"bootstrap.servers": server.address}, logger=silent)
    role = f"broker {node_id}"
    if node_id not in admin.list_topics(timeout=ANSWER_TIMEOUT_S).brokers:
        role += ", fenced"
    return f"{role}, controller" if node_id == controller else role
