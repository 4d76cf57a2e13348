"""How ``up --cluster`` gives every server a port and an id, from what was given at the terminal."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from servers.clustered import Broker, ClusteredServers
from servers.errors import ServerError
from servers.kafka_cluster import KafkaPorts
from servers.redis import Program
from servers.zookeeper_ensemble import ZooKeeperPorts

SIZE = 3
HIGHEST = 65_535 - 2 * (SIZE - 1)
CLUSTER_ONLY = ("zookeeper_quorum_port", "zookeeper_election_port", "rabbitmq_port", "ids", "broker")

F = TypeVar("F", bound=Callable[..., Any])


def ids_from(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    """The three numbers of a text such as ``1,2,3``; click.BadParameter when it is none."""
    parts = text.split(",")
    if len(parts) != SIZE or not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r}: wanted are {SIZE} numbers with commas between them, as in 1,2,3")
    return tuple(map(int, parts))


def port_option(server: str, default: int, told: str) -> Callable[[F], F]:
    """``--SERVER-port``, a parameter of the name ``SERVER_port``."""
    return click.option(
        f"--{server}-port", type=click.IntRange(1, HIGHEST), default=default, show_default=True, help=told
    )


def refuse_without_cluster(context: click.Context) -> None:
    """Raise click.UsageError when an option was given that only a cluster has a use for."""
    for name in CLUSTER_ONLY:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is of use with --cluster only")


def cluster_of(
    directory: Path,
    ports: Mapping[str, int],
    *,
    ids: tuple[int, ...],
    broker: Broker | None,
    redis_program: Program,
) -> ClusteredServers:
    """The cluster on these ports and neighbours of them; ServerError when two servers would have one port."""
    kafka = [
        KafkaPorts(ports["kafka_port"] + 2 * number, ports["kafka_controller_port"] + 2 * number)
        for number in range(SIZE)
    ]
    zookeeper = [
        ZooKeeperPorts(
            ports["zookeeper_port"] + number,
            ports["zookeeper_quorum_port"] + number,
            ports["zookeeper_election_port"] + number,
        )
        for number in range(SIZE)
    ]
    redis = (ports["redis_port"], ports["redis_port"] + 1)
    used = Counter(
        [*redis, ports["rabbitmq_port"]]
        + [port for each in kafka for port in (each.client, each.controller)]
        + [port for each in zookeeper for port in (each.client, each.quorum, each.election)]
    )
    port, times = used.most_common(1)[0]
    if times > 1:
        raise ServerError(f"Two servers would have the port {port}: give ports that are further from each other")
    return ClusteredServers(
        directory,
        ids=ids,
        kafka_ports=kafka,
        zookeeper_ports=zookeeper,
        redis_ports=redis,
        rabbitmq_port=ports["rabbitmq_port"],
        redis_program=redis_program,
        broker=broker,
    )
