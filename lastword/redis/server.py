"""One Redis server and our connections to it: what does not serve is left, for the address may lead elsewhere by now.

A DNS name is resolved, and a proxy chooses a server, when a connection is made. So after a failover old connections
still lead to the old server, which refuses writes and answers reads from what it held.
Source: docs/decisions/0024-a-server-that-refuses-is-left.md
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import redis
from redis.exceptions import RedisError, ResponseError

from lastword.redis.errors import NotPrimaryError, is_refusal
from lastword.redis.pipeline import Command, pipeline
from lastword.redis.trouble import Trouble

LIFE_S: Final = 60.0
"""How long connections that nothing is wrong with are used; the next ones go to where the address leads then."""

_IS_PRIMARY: Final[Command] = ("WAIT", 0, 0)
"""Waits for nothing, changes nothing, and is refused by a replica, also by one that may be written."""

_REPLICA_SAYS: Final = "replica instances"

_WRITING: Final = frozenset({"EVALSHA", "SET", "HSET", "HDEL", "EXPIRE"})
_ABOUT_THE_SERVER: Final = frozenset({"INFO", "PING", "CLUSTER SLOTS"})
"""Asked of whatever server it is, before anything is read or written; who asks makes something of the error."""


class Server:
    """One server, alone or of a Cluster; safe to share between threads and to carry over a fork.

    ``of_cluster``: it says by itself where else a key is, and a replica answers nothing of it.
    """

    def __init__(self, client: redis.Redis, address: str, *, of_cluster: bool = False) -> None:
        self._client = client
        self._address = address
        self._of_cluster = of_cluster
        self._trouble = Trouble(address)
        self._renew_at = 0.0

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers of one round trip, errors among them, and none of a replica's.

        After a refusal all idle connections are closed, so that the next call makes a new one.
        """
        if all(command[0] in _ABOUT_THE_SERVER for command in commands):
            return pipeline(self._client, commands)
        if self._of_cluster:
            answers = pipeline(self._client, commands)
        else:
            self._renew()
            *answers, role = pipeline(self._client, [*commands, _IS_PRIMARY])
            if isinstance(role, ResponseError) and _REPLICA_SAYS in str(role):
                replica = NotPrimaryError("it is a replica, which may hold what the primary does not")
                answers = [answer if self._refuses(answer) else replica for answer in answers]
        self._judge(commands, answers)
        return answers

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._client.close()

    def replaced(self) -> None:
        """Note that another server has taken its place."""
        self._trouble.replaced()

    def _refuses(self, answer: object) -> bool:
        return isinstance(answer, RedisError) and is_refusal(answer, of_cluster=self._of_cluster)

    def _judge(self, commands: Sequence[Command], answers: Sequence[Any]) -> None:
        for answer in answers:
            if self._refuses(answer):
                self._trouble.refused(answer, writing=any(command[0] in _WRITING for command in commands))
                self._leave()
                return
        if self._trouble.told:
            pairs = zip(commands, answers, strict=True)
            self._trouble.served(
                written=any(name in _WRITING and not isinstance(answer, RedisError) for (name, *_), answer in pairs)
            )

    def _renew(self) -> None:
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + LIFE_S
            self._leave()

    def _leave(self) -> None:
        # Those that other threads use are not idle: they find out by themselves.
        self._client.connection_pool.disconnect(inuse_connections=False)
