"""Where the servers of a run are: those that run already, as the environment says, or some started for it."""

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

from servers.errors import ServerError
from servers.local import Servers

NAMES: Final = ("KAFKA_BOOTSTRAP_SERVERS", "ZOOKEEPER_HOSTS", "REDIS_URL", "CELERY_BROKER_URL")
CONNECT_TIMEOUT_S = 5.0


class Reachable(Protocol):
    """A server that clients can reach; who may stop, pause or configure it is another question."""

    @property
    def address(self) -> str:
        """``HOST:PORT``, as clients want it."""


class ReachableRedis(Reachable, Protocol):
    """A Redis that clients can reach."""

    def url(self, db: int = 0) -> str:
        """Its URL."""


@dataclass(frozen=True)
class Addresses:
    """Where Kafka, ZooKeeper, the cache's Redis and the Celery broker are; the URLs may carry passwords."""

    kafka: str
    zookeeper: str
    redis_url: str = field(repr=False)
    broker_url: str = field(repr=False)

    @classmethod
    def of(cls, servers: Servers) -> Self:
        """The addresses of running servers."""
        return cls(*(servers.environment[name] for name in NAMES))

    @classmethod
    def given(cls, environment: Mapping[str, str]) -> Self | None:
        """The addresses that the environment gives; None when it gives none, ServerError when only some."""
        values = [environment.get(name, "") for name in NAMES]
        if not any(values):
            return None
        if not all(values):
            missing = ", ".join(name for name, value in zip(NAMES, values, strict=True) if not value)
            raise ServerError(
                f"The environment names some servers but not {missing}: set all of {', '.join(NAMES)} to use servers "
                "that run already, or none of them to have servers started"
            )
        scheme = values[NAMES.index("REDIS_URL")].partition("://")[0]
        if "+" in scheme:
            raise ServerError(
                f"REDIS_URL begins with {scheme!r}: demo, tests and benchmarks know a single Redis only, and Kafka and "
                "ZooKeeper without passwords"
            )
        return cls(*values)

    @property
    def environment(self) -> dict[str, str]:
        """The addresses, under the names of the environment variables that the application reads."""
        return dict(zip(NAMES, (self.kafka, self.zookeeper, self.redis_url, self.broker_url), strict=True))

    @property
    def redis_address(self) -> str:
        """``HOST:PORT`` of the cache's Redis."""
        place = urlsplit(self.redis_url)
        return f"{place.hostname}:{place.port or 6379}"

    def refuse_unreachable(self) -> None:
        """Raise ServerError, which names the variable and the address, when nobody listens at one of them."""
        for name, value in self.environment.items():
            places = _places(value)
            if places and not any(_listens(host, port) for host, port in places):
                shown = ", ".join(f"{host}:{port}" for host, port in places)
                raise ServerError(f"{name}: nobody listens at {shown}")

    def __str__(self) -> str:
        shown = (f"{name}={re.sub('//[^/]*@', '//', value)}" for name, value in self.environment.items())
        return " ".join(shown)


def _places(value: str) -> list[tuple[str, int]]:
    """The hosts and ports in a list of them, or in a URL; none where there is no port to be read."""
    hosts = value.partition("://")[2].rpartition("@")[2] if "://" in value else value
    found = (place.rpartition(":") for place in hosts.partition("/")[0].split(","))
    return [(host, int(port)) for host, _, port in found if host and port.isdigit()]


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host.strip("[] "), port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


@contextmanager
def running_servers(directory: Path, environment: Mapping[str, str]) -> Iterator[tuple[Addresses, Servers | None]]:
    """Servers to work with until the block ends: those the environment names, else some of our own, started here.

    ServerError when the environment names only some, nobody listens at one, or our own do not come up.
    """
    addresses = Addresses.given(environment)
    if addresses is not None:
        addresses.refuse_unreachable()
        yield addresses, None
        return
    with Servers(directory) as servers:
        yield Addresses.of(servers), servers
