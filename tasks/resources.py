"""What every task of a process shares: the settings, the cache, the locks."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tasks.arguments import Arguments
from tasks.cache import Cache
from tasks.contract import Update
from tasks.environment import is_in_file, read_if_given
from tasks.flow_note import read_note
from tasks.function import import_function
from tasks.loader import Loader
from tasks.lock import Locks
from tasks.notices import NO_NOTICES, Notices
from tasks.settings import SettingsError, TaskSettings, load
from tasks.started import Started
from tasks.strays import Strays
from tasks.zookeeper_client import Security, tls_context

OVERDUE_RETRIES: Final = 3
"""Whatever the clocks say, a row that is missing is looked for so often, over seconds, before it counts as deleted."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What every task of a process shares. Cache and locks connect when first used, and anew in a forked child."""

    settings: TaskSettings
    cache: Cache
    locks: Locks
    started: Started
    loader: Loader | None = None
    strays: Strays = field(init=False)

    def __post_init__(self) -> None:
        def name_of_cache() -> str:
            note = read_note(self.cache, self.settings.key_prefix)
            return note.cache if note else ""

        object.__setattr__(self, "strays", Strays(self.settings.destination, name_of_cache))

    def notices(self, many: Sequence[tuple[Arguments, int]]) -> Notices:
        """How the notices among these updates get their rows: each with the number of its task's retries.

        Of what is apart the primary database tells the rows: one that is not there after a few retries is gone.
        """
        if self.loader is None:
            return NO_NOTICES
        behind = time.time() - self.settings.loader_lag_s
        overdue = [
            place
            for place, (one, retries) in enumerate(many)
            if retries >= OVERDUE_RETRIES and (one.first_sent <= behind or not _may_lag(one.update))
        ]
        return Notices(self.loader, overdue=overdue, future_limit_s=self.settings.future_limit_s)


def _may_lag(update: Update) -> bool:
    return update.is_notice and not update.version.asks


_resources: Resources | None = None
_resources_lock = threading.Lock()


def resources() -> Resources:
    """Return the settings, the cache and the locks of this process; SettingsError when a setting is wrong."""
    global _resources  # noqa: PLW0603 - one per process is the point
    with _resources_lock:
        if _resources is None:
            settings = load(TaskSettings)
            cache = open_cache(settings)
            loader = make_loader(settings)
            _resources = Resources(settings, cache, open_locks(settings), Started(cache.note), loader)
        return _resources


def make_loader(settings: TaskSettings) -> Loader | None:
    """Return the loader that the settings name, if they do. SettingsError when there is no such function."""
    if settings.loader is None:
        return None
    return Loader(import_function("LASTWORD_LOADER", settings.loader), timeout_s=settings.loader_timeout_s)


def open_cache(settings: TaskSettings) -> Cache:
    """Return the cache that the settings name; it connects at the first call. SettingsError when it cannot be."""
    try:
        return Cache.connect(
            settings.redis_url.get_secret_value(),
            call_timeout_s=settings.call_timeout_s,
            key_prefix=settings.key_prefix,
            ttl_s=settings.ttl_s,
            tombstone_ttl_s=settings.tombstone_ttl_s,
            url_now=partial(read_if_given, "REDIS_URL") if is_in_file("REDIS_URL") else None,
        )
    except ValueError as error:
        raise SettingsError(f"setting REDIS_URL: {error}") from None


def open_locks(settings: TaskSettings) -> Locks:
    """Return the locks that the settings name; the session is opened at the first acquire. SettingsError likewise."""
    try:
        return Locks(
            settings.zookeeper_hosts,
            root=settings.zookeeper_root,
            prefix=settings.lock_prefix,
            session_timeout_s=settings.session_timeout_s,
            call_timeout_s=settings.call_timeout_s,
            security=zookeeper_security(settings),
        )
    except ValueError as error:
        raise SettingsError(f"setting ZOOKEEPER_HOSTS: {error}") from None


def zookeeper_security(settings: TaskSettings) -> Security:
    """Return how the settings want ZooKeeper spoken to; SettingsError when a file for TLS cannot be used."""
    auth, key_password = settings.zookeeper_auth, settings.zookeeper_tls_key_password
    try:
        tls = (
            None
            if not settings.zookeeper_tls
            else tls_context(
                ca=settings.zookeeper_tls_ca,
                cert=settings.zookeeper_tls_cert,
                key=settings.zookeeper_tls_key,
                key_password=key_password.get_secret_value() if key_password is not None else None,
            )
        )
    except ValueError as error:
        raise SettingsError(f"settings LASTWORD_ZOOKEEPER_TLS_...: {error}") from None
    return Security(auth.get_secret_value() if auth is not None else None, tls)


def close_locks() -> None:
    """End this process's ZooKeeper session at once, if it has one."""
    if _resources is not None:
        _resources.locks.close()
