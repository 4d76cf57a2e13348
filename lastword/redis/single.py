"""One primary at a time: a Redis that stands alone, or the one that Sentinels name."""

from collections.abc import Sequence

import redis
from redis.connection import ConnectionPool

from lastword.redis.pipeline import Answers, Command, Seal, sealed
from lastword.redis.server import Server


class Single:
    """The server to which the pool's connections lead, as a Client."""

    def __init__(self, pool: ConnectionPool, address: str) -> None:
        self.address = address
        self._server = Server(redis.Redis.from_pool(pool), address)

    def run(self, commands: Sequence[Command], *, on_each: Command | None = None, seal: Seal | None = None) -> Answers:
        """One round trip."""
        if seal is not None:
            answers, judgement = sealed(self._server.ask, commands, seal, [""])
            return Answers([judgement], answers)
        if on_each is None:
            return Answers([], self._server.ask(commands))
        first, *answers = self._server.ask([on_each, *commands])
        return Answers([first], answers)

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._server.close()
