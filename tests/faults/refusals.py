"""What makes a Redis answer "not now", and what heals it: each a block, at whose end it serves again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

import redis

from servers import Redis
from tests.blackhole import BlackHoleProxy
from tests.waiting import wait_until

NOWHERE: Final = ("127.0.0.1", 1)


@dataclass
class Site:
    """A Redis behind a proxy, ``raw`` is past it; ``elsewhere`` are other servers to which the proxy may lead."""

    relay: BlackHoleProxy
    server: Redis
    raw: redis.Redis
    elsewhere: dict[str, Redis]


@contextmanager
def _configured(site: Site, **settings: str) -> Iterator[None]:
    names = {name.replace("_", "-"): value for name, value in settings.items()}
    before = {name: str(site.raw.config_get(name)[name]) for name in names}
    for name, value in names.items():
        site.raw.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            site.raw.config_set(name, value)


@contextmanager
def read_only(site: Site) -> Iterator[None]:
    site.raw.replicaof(*NOWHERE)
    yield
    site.raw.replicaof("NO", "ONE")


@contextmanager
def without_primary(site: Site) -> Iterator[None]:
    with _configured(site, replica_serve_stale_data="no"), read_only(site):
        yield


@contextmanager
def too_few_replicas(site: Site) -> Iterator[None]:
    with _configured(site, min_replicas_to_write="1"):
        yield


@contextmanager
def out_of_memory(site: Site) -> Iterator[None]:
    with _configured(site, maxmemory="1mb"):
        yield


@contextmanager
def snapshots_fail(site: Site) -> Iterator[None]:
    """Its file is a directory that is not empty."""

    def saved(status: str) -> bool:
        info = site.raw.info("persistence")
        if info["rdb_bgsave_in_progress"]:
            return False
        if info["rdb_last_bgsave_status"] != status:
            site.raw.bgsave()
        return bool(info["rdb_last_bgsave_status"] == status)

    snapshot = site.server.directory / "dump.rdb"
    snapshot.unlink(missing_ok=True)
    (snapshot / "in the way").mkdir(parents=True)
    wait_until(lambda: saved("err"), what="a snapshot that fails")
    yield
    (snapshot / "in the way").rmdir()
    snapshot.rmdir()
    wait_until(lambda: saved("ok"), what="a snapshot")


@contextmanager
def busy(site: Site) -> Iterator[None]:
    """A script that would run for ever."""

    def run() -> None:
        with site.server.admin() as client:
            try:
                client.eval("while true do end", 0)
            except redis.ResponseError as error:
                assert "killed" in str(error)  # noqa: PT017 - in a thread of its own

    with _configured(site, lua_time_limit="20"):
        runner = threading.Thread(target=run)
        runner.start()
        wait_until(lambda: is_busy(site.raw), what="BUSY")
        yield
        wait_until(site.raw.script_kill, what="the script's end")
        runner.join()


def is_busy(raw: redis.Redis) -> bool:
    try:
        raw.ping()
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False


@contextmanager
def forbidden(site: Site) -> Iterator[None]:
    site.raw.acl_setuser("default", enabled=True, commands=["-evalsha"])
    yield
    site.raw.acl_setuser("default", enabled=True, commands=["+evalsha"])


@contextmanager
def password_wanted(site: Site) -> Iterator[None]:
    with _configured(site, requirepass="s3cret"):
        cut(site)
        yield


@contextmanager
def no_room_for_clients(site: Site) -> Iterator[None]:
    with _configured(site, maxclients="1"):
        cut(site)
        yield


def cut(site: Site) -> None:
    """End all connections but our own."""
    site.raw.client_kill_filter(_type="normal", skipme=True)


@contextmanager
def paused(site: Site) -> Iterator[None]:
    """It takes connections, and answers nobody."""
    site.server.pause()
    yield
    site.server.resume()


@contextmanager
def loading(site: Site) -> Iterator[None]:
    """It reads its snapshot anew, slowly."""

    def reload() -> None:
        with site.server.admin(socket_timeout=None) as client:
            client.execute_command("DEBUG", "RELOAD")

    with _configured(site, key_load_delay="50000", loading_process_events_interval_bytes="1024"):
        loader = threading.Thread(target=reload)
        loader.start()
        yield
        loader.join()


def elsewhere(name: str) -> Callable[[Site], AbstractContextManager[None]]:
    """The proxy leads to another server, and back; what is connected then stays where it is."""

    @contextmanager
    def led(site: Site) -> Iterator[None]:
        site.relay.lead_to(site.elsewhere[name].address)
        site.relay.heal()
        yield
        site.relay.lead_to(site.server.address)

    return led


REFUSALS: Final[dict[str, Callable[[Site], AbstractContextManager[None]]]] = {
    "READONLY": read_only,
    "MASTERDOWN": without_primary,
    "NOREPLICAS": too_few_replicas,
    "OOM": out_of_memory,
    "MISCONF": snapshots_fail,
    "BUSY": busy,
    "NOPERM": forbidden,
    "NOAUTH": password_wanted,
    "MAXCLIENTS": no_room_for_clients,
    "TimeoutError": paused,
    "LOADING": loading,
    "MOVED": elsewhere("a Cluster's"),
    "CLUSTERDOWN": elsewhere("of no Cluster"),
}
"""By what the log calls them."""
