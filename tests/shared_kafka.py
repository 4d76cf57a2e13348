"""One Kafka for all processes of a session: each takes two hundredths of a core for nothing, and seconds to start."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from servers import Kafka


class SharedKafka:
    """Where it is. The first who asks starts it, unless it was told where it is; ``close`` by the same process."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._running = ExitStack()

    @property
    def address(self) -> str:
        """``host:port``."""
        if self._address is None:
            directory = self._running.enter_context(tempfile.TemporaryDirectory(prefix="lastword-kafka-"))
            self._address = self._running.enter_context(Kafka(Path(directory))).address
        return self._address

    def close(self) -> None:
        """Stop it, if it was started here."""
        self._running.close()
