"""What every task of a process shares: the settings, the cache, the locks."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lastword.cache.cache import Cache
from lastword.cache.flow_note import read_note
from lastword.cache.opening import open_cache
from lastword.cache.started import Started
from lastword.contract.record import Update
from lastword.contract.task import Arguments
from lastword.settings.function import import_function
from lastword.settings.shared import TaskSettings, load
from tasks.broker.strays import Strays
from tasks.lock.locks import Locks
from tasks.lock.opening import open_locks
from tasks.notices.loader import Loader
from tasks.notices.notices import NO_NOTICES, Notices

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
            index
            for index, (arguments, retries) in enumerate(many)
            if retries >= OVERDUE_RETRIES and (arguments.first_sent <= behind or not _may_lag(arguments.update))
        ]
        return Notices(self.loader, overdue=overdue)


def _may_lag(update: Update) -> bool:
    return update.is_notice and not update.version.asks


_resources: Resources | None = None
_resources_lock = threading.Lock()


def process_resources() -> Resources:
    """Return the settings, the cache and the locks of this process; SettingsError when a setting is wrong."""
    global _resources  # noqa: PLW0603 - one per process is the point
    with _resources_lock:
        if _resources is None:
            settings = load(TaskSettings)
            cache = open_cache(settings)
            loader = make_loader(settings)
            _resources = Resources(settings, cache, open_locks(settings), Started(cache.ask), loader)
        return _resources


def make_loader(settings: TaskSettings) -> Loader | None:
    """Return the loader that the settings name, if they do. SettingsError when there is no such function."""
    if settings.loader is None:
        return None
    return Loader(import_function("LASTWORD_LOADER", settings.loader), timeout_s=settings.loader_timeout_s)


def close_locks() -> None:
    """End this process's ZooKeeper session at once, if it has one."""
    if _resources is not None:
        _resources.locks.close()
