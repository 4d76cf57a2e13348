"""What a Redis that is Celery's broker may answer instead of serving, each made real and mended again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final, NamedTuple

from redis import Redis as Client
from redis.exceptions import RedisError

from servers.ports import free_port
from tests.celery_brokers import QUEUE, RedisBroker
from tests.waiting import wait_until


class Refusal(NamedTuple):
    """One that a worker notices which only fetches. ``sending``: and a bridge that sends."""

    name: str
    made: Callable[[RedisBroker, Client], AbstractContextManager[None]]
    sending: bool = True


@contextmanager
def replica(_: RedisBroker, raw: Client) -> Iterator[None]:
    raw.replicaof("127.0.0.1", str(free_port()))
    try:
        yield
    finally:
        raw.replicaof("NO", "ONE")


@contextmanager
def replica_without_data(broker: RedisBroker, raw: Client) -> Iterator[None]:
    raw.config_set("replica-serve-stale-data", "no")
    with replica(broker, raw):
        yield
    raw.config_set("replica-serve-stale-data", "yes")


@contextmanager
def failing_snapshot(broker: RedisBroker, raw: Client) -> Iterator[None]:
    in_the_way = broker.server.directory / "dump.rdb"
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()
    try:
        raw.bgsave()
        wait_until(lambda: raw.info("persistence")["rdb_last_bgsave_status"] == "err", what="a snapshot that fails")
        yield
    finally:
        in_the_way.rmdir()
        wait_until(lambda: snapshot(raw), what="a snapshot that succeeds")


def snapshot(raw: Client) -> bool:
    with suppress(RedisError):  # one is under way
        raw.bgsave()
    return str(raw.info("persistence")["rdb_last_bgsave_status"]) == "ok"


@contextmanager
def configured(raw: Client, name: str, value: str, usual: str) -> Iterator[None]:
    raw.config_set(name, value)
    try:
        yield
    finally:
        raw.config_set(name, usual)


def too_few_replicas(_: RedisBroker, raw: Client) -> AbstractContextManager[None]:
    return configured(raw, "min-replicas-to-write", "1", "0")


@contextmanager
def out_of_memory(_: RedisBroker, raw: Client) -> Iterator[None]:
    with configured(raw, "maxmemory", "1", "0"):
        disconnect_all(raw)
        yield


@contextmanager
def no_permission(_: RedisBroker, raw: Client) -> Iterator[None]:
    permit(raw, "-@write", "-@blocking")
    try:
        yield
    finally:
        permit(raw, "+@all")


def permit(raw: Client, *rules: str) -> None:
    """Give everybody commands (``+lpush``) or categories of them (``+@write``), or take them."""
    categories = [rule for rule in rules if "@" in rule]
    commands = [rule for rule in rules if "@" not in rule]
    raw.acl_setuser("default", enabled=True, nopass=True, categories=categories, commands=commands)


@contextmanager
def other_password(_: RedisBroker, raw: Client) -> Iterator[None]:
    with configured(raw, "requirepass", "another", ""):
        disconnect_all(raw)
        yield


@contextmanager
def too_many_clients(_: RedisBroker, raw: Client) -> Iterator[None]:
    with configured(raw, "maxclients", "1", "10000"):
        disconnect_all(raw)
        yield


def disconnect_all(raw: Client) -> None:
    raw.client_kill_filter(_type="normal", skipme=True)
    raw.client_kill_filter(_type="pubsub", skipme=True)


@contextmanager
def busy(broker: RedisBroker, raw: Client) -> Iterator[None]:
    raw.config_set("lua-time-limit", "50")

    def run() -> None:
        with Client.from_url(broker.url) as client, suppress(RedisError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        raw.script_kill()
        thread.join()


@contextmanager
def paused(_: RedisBroker, raw: Client) -> Iterator[None]:
    raw.client_pause(60_000, all=False)  # of all, none could be told that it is over
    try:
        yield
    finally:
        raw.client_unpause()


@contextmanager
def string_in_the_way(raw: Client, key: str) -> Iterator[None]:
    raw.set(key, "somebody's")
    disconnect_all(raw)  # what is declared is declared once for a connection
    try:
        yield
    finally:
        raw.delete(key)


REFUSALS: Final = (
    Refusal("a replica (READONLY)", replica),
    Refusal("a replica without data (MASTERDOWN)", replica_without_data),
    Refusal("a failing snapshot (MISCONF)", failing_snapshot),
    Refusal("too few replicas (NOREPLICAS)", too_few_replicas),
    Refusal("no permission (NOPERM)", no_permission),
    Refusal("full (OOM)", out_of_memory),
    Refusal("another password (NOAUTH)", other_password),
    Refusal("too many clients", too_many_clients),
    Refusal("a script that runs on (BUSY)", busy),
    Refusal("writers paused", paused),
    Refusal("a string in the place of the queue (WRONGTYPE)", lambda _, raw: string_in_the_way(raw, QUEUE)),
    Refusal(
        "a string in the place of a binding (WRONGTYPE)",
        lambda _, raw: string_in_the_way(raw, f"_kombu.binding.{QUEUE}"),
        sending=False,
    ),
)
