"""Servers that run already: `pytest --external-servers` uses the ones that the environment names."""

import os
from dataclasses import dataclass

import pytest
import redis

from servers import Addresses, ServerError
from servers.addresses import NAMES
from tests.worker_helpers import BROKER_DB

OPTION = "--external-servers"


@dataclass(frozen=True)
class ServerAt:
    address: str


@dataclass(frozen=True)
class RedisAt:
    """The cache's Redis as database 0, the broker's as database 1: so the tests know them."""

    addresses: Addresses

    @property
    def address(self) -> str:
        return self.addresses.redis_address

    def url(self, db: int = 0) -> str:
        return {0: self.addresses.redis_url, BROKER_DB: self.addresses.broker_url}[db]


def external_addresses(config: pytest.Config) -> Addresses | None:
    """The servers to use; None: start our own. pytest.UsageError when they were asked for and cannot be used.

    Tests empty the broker's database: it must be empty when they begin.
    """
    if not config.getoption(OPTION):
        return None
    try:
        addresses = Addresses.given(os.environ)
    except ServerError as error:
        raise pytest.UsageError(str(error)) from None
    if addresses is None:
        raise pytest.UsageError(f"{OPTION}: the environment names no servers: set {', '.join(NAMES)}")
    try:
        with redis.Redis.from_url(addresses.broker_url) as broker:
            keys = broker.dbsize()
    except (redis.RedisError, ValueError) as error:
        raise pytest.UsageError(f"{OPTION}: CELERY_BROKER_URL wants a Redis that answers: {error}") from None
    if addresses.broker_url == addresses.redis_url:
        raise pytest.UsageError(f"{OPTION}: CELERY_BROKER_URL and REDIS_URL are the same; tests empty the former")
    if keys:
        raise pytest.UsageError(
            f"{OPTION}: the database of CELERY_BROKER_URL holds {keys} keys. Tests empty it again and again: give them "
            "a Redis database of their own"
        )
    return addresses
