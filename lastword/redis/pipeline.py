"""Talking to Redis in pipelines: nothing is sent twice, and an error is an answer like another."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import redis
from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from lastword.settings.stock import is_stock

Command = tuple[str | bytes | int, ...]
"""A command and its arguments; what follows the name is its key, except for EVALSHA."""


class Answers(NamedTuple):
    """What Redis answered: ``each`` has an answer of every primary, ``answers`` one for each command, in order.

    An answer may be a RedisError: where a server did not answer, its commands have one, with a note that names it.
    Under a seal ``each`` is what it judged of every primary, and a judgement stands for all answers of its primary.
    """

    each: list[Any]
    answers: list[Any]


class Seal(Protocol):
    """What is sent to every primary after all other commands, and decides whether their answers count."""

    def commands(self, tags: Sequence[str]) -> list[Command]:
        """The commands; keys among them have one of ``tags`` (of a Cluster: hash tags in slots of this primary)."""

    def judge(self, tags: Sequence[str], answers: Sequence[Any]) -> RedisError | None:
        """What stands for all answers of this primary, where they do not count."""


class Client(Protocol):
    """The primaries of a Redis; safe to share between threads and to carry over a fork."""

    address: str

    def run(self, commands: Sequence[Command], *, on_each: Command | None = None, seal: Seal | None = None) -> Answers:
        """Send the commands, on every primary ``on_each`` before or ``seal`` after them; raises nothing of Redis's."""

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""


def no_retry() -> Retry:
    """For redis-py: send once.

    Repeats would multiply the time a call may take; whoever asked retries, or looks again, by a clock of its own.
    """
    return Retry(NoBackoff(), 0)


def pipeline(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """The answers of one round trip, errors among them; the same error for each command if there was no answer."""
    if is_stock():
        return _stock_pipeline(client, commands)
    # As redis-py's own pipeline does it, which spends three times as much on each command.
    pool: Any = client.connection_pool
    known: Any = client.response_callbacks
    connection: Any = None
    try:
        connection = pool.get_connection()
        connection.send_packed_command([b"".join(map(_encoded, commands))])
        answers = [_read(connection) for _ in commands]
    except RedisError as error:
        if connection is not None:
            connection.disconnect()
        return [error] * len(commands)
    except BaseException:  # in the middle of the answers, which nobody must take for those to another question
        if connection is not None:
            connection.disconnect()
        raise
    finally:
        if connection is not None:
            pool.release(connection)
    callbacks = {name: known.get(name) for name in {command[0] for command in commands}}
    for index, command in enumerate(commands):
        callback = callbacks[command[0]]
        if callback is not None and not isinstance(answers[index], RedisError):
            answers[index] = callback(answers[index])
    return answers


def _stock_pipeline(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    pipe: Any = client.pipeline(transaction=False)
    for command in commands:
        pipe.execute_command(*command)
    try:
        answers: list[Any] = pipe.execute(raise_on_error=False)
    except RedisError as error:
        return [error] * len(commands)
    except BaseException:  # in the middle of the answers: redis-py keeps the connection, with the others still to come
        client.connection_pool.disconnect(inuse_connections=False)
        raise
    return answers


def _encoded(command: Command) -> bytes:
    name = str(command[0])
    if " " in name:
        command = (*name.split(), *command[1:])
    encoded: bytes = pack_command(command)  # type: ignore[arg-type]  # its stubs: a tuple of one
    return encoded


def _read(connection: Any) -> Any:  # noqa: ANN401 - redis-py's
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def sealed(
    ask: Callable[[list[Command]], list[Any]], commands: Sequence[Command], seal: Seal, tags: Sequence[str]
) -> tuple[list[Any], RedisError | None]:
    """One primary's answers, the seal's judgement in place of each where they do not count; and the judgement."""
    last = seal.commands(tags)
    answers = ask([*commands, *last])
    judgement = seal.judge(tags, answers[len(commands) :])
    return [judgement] * len(commands) if judgement else answers[: len(commands)], judgement
