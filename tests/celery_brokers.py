"""The two servers that can be Celery's broker, seen by a test that breaks them: one interface for both."""

from abc import ABC, abstractmethod
from typing import Any

from kombu import Connection

from servers import Redis
from servers.rabbitmq import RabbitMQ
from servers.server import Server

QUEUE = "lastword"


class CeleryBroker(ABC):
    """A broker that a test may kill, restart, pause and wipe; ``name`` is for people."""

    name: str

    def __init__(self, server: Server) -> None:
        self.server = server

    @property
    @abstractmethod
    def url(self) -> str:
        """What CELERY_BROKER_URL has to be."""

    @abstractmethod
    def queued(self) -> int:
        """How many tasks wait in the queue, delivered ones not counted."""

    @abstractmethod
    def wipe(self) -> None:
        """Make it forget every task, and the queue itself."""


class RedisBroker(CeleryBroker):
    name = "Redis"

    def __init__(self, server: Redis) -> None:
        super().__init__(server)
        self._redis = server

    @property
    def url(self) -> str:
        return self._redis.url()

    def queued(self) -> int:
        with self._redis.admin() as client:
            return int(client.llen(QUEUE))

    def wipe(self) -> None:
        with self._redis.admin() as client:
            client.flushdb()


class RabbitBroker(CeleryBroker):
    name = "RabbitMQ"

    def __init__(self, server: RabbitMQ) -> None:
        super().__init__(server)
        self.rabbitmq = server

    @property
    def url(self) -> str:
        return self.rabbitmq.url

    def queued(self) -> int:
        with Connection(self.url) as connection:
            channel: Any = connection.channel()
            try:
                return int(channel.queue_declare(QUEUE, passive=True).message_count)
            except connection.channel_errors:  # there is no such queue
                return 0

    def wipe(self) -> None:
        with Connection(self.url) as connection:
            channel: Any = connection.channel()
            channel.queue_delete(QUEUE)
