"""Talking to Redis in pipelines: nothing is sent twice, and an error is an answer like another."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.exceptions import RedisError
from redis.retry import Retry

Command = tuple[str | bytes | int, ...]
"""A command and its arguments; what follows the name is its key, except for EVALSHA."""


class Answers(NamedTuple):
    """What Redis answered: ``each`` has an answer of every primary, ``answers`` one for each command, in order.

    An answer may be a RedisError: where a server did not answer, its commands have one, with a note that names it.
    """

    each: list[Any]
    answers: list[Any]


class Client(Protocol):
    """The primaries of a Redis; safe to share between threads and to carry over a fork."""

    address: str

    def run(self, commands: Sequence[Command], *, on_each: Command | None = None) -> Answers:
        """Send the commands, on every primary ``on_each`` before them; raises nothing of Redis's."""

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""


class Single:
    """One primary at a time: a Redis that stands alone, or the one that Sentinels name."""

    def __init__(self, pool: ConnectionPool, address: str) -> None:
        self.address = address
        self._client = redis.Redis.from_pool(pool)

    def run(self, commands: Sequence[Command], *, on_each: Command | None = None) -> Answers:
        """One round trip."""
        if on_each is None:
            return Answers([], pipeline(self._client, commands))
        first, *answers = pipeline(self._client, [on_each, *commands])
        return Answers([first], answers)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._client.close()


def no_retry() -> Retry:
    """For redis-py: send once.

    Repeats would multiply the time a call may take; whoever asked retries, or looks again, by a clock of its own.
    """
    return Retry(NoBackoff(), 0)


def pipeline(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """The answers of one round trip, errors among them; the same error for each command if there was no answer."""
    pipe = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py leaves it without types
    try:
        return pipe.execute(raise_on_error=False)
    except RedisError as error:
        return [error] * len(commands)


def identity_of(servers: Sequence[Any]) -> str:
    """One name for the data sets behind the answers of all primaries to INFO; "" if one of them is an error."""
    if any(isinstance(info, RedisError) for info in servers):
        return ""
    run_ids = sorted(str(info.get("run_id", "unknown")) for info in servers)
    if len(run_ids) == 1:
        return run_ids[0]
    return hashlib.sha1(",".join(run_ids).encode(), usedforsecurity=False).hexdigest()
