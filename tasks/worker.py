"""How a worker starts, and what it minds: ``celery -A tasks worker``."""

from typing import Any

from celery import signals
from celery.concurrency import get_implementation

import tasks.broker.flower  # noqa: F401 - makes `celery flower` safe
from lastword.broker.config import mind_foreign_settings, read_settings
from lastword.broker.reach import wait_for_broker
from lastword.contract.errors import TransientError
from lastword.process import interrupt
from lastword.process.heartbeat import Heartbeat
from lastword.process.reach import wait_for_cache
from lastword.process.startup import (
    EXIT_INTERRUPTED,
    EXIT_SETTINGS,
    EXIT_UNREACHABLE,
    UnreachableError,
    leave,
    wait_for,
)
from lastword.settings.shared import SettingsError, TaskSettings, refuse_misspelt_settings
from lastword.settings.stock import is_stock
from tasks.broker.worker_name import take_free_name
from tasks.celery_app import app
from tasks.groups.groups import GROUP_MAX
from tasks.groups.worker_options import mind_options
from tasks.lock.opening import open_locks
from tasks.resources import Resources, close_locks, process_resources

GROUP_POOL = "tasks.groups.pool:GroupPool"
THREAD_POOL = "tasks.groups.thread_pool:ThreadPool"
CELERYS_THREADS = "celery.concurrency.thread"
PREFETCH = 2 * GROUP_MAX
"""Two full groups: of one update per task, what is under way and what gathers meanwhile."""


def refuse_unreadable_settings() -> None:
    """End the process, and name the file and the error, where ``celeryconfig.py`` has one."""
    try:
        read_settings(app)
    except SettingsError as error:
        leave(str(error), EXIT_SETTINGS)


@signals.celeryd_init.connect
def get_ready(instance: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Before a worker starts: refuse a wrong setting, and wait until its servers can be reached."""
    at_once = interrupt.stands()
    try:
        if at_once:
            interrupt.raise_once()  # a session of ZooKeeper is to be ended
        take_free_name(instance, app)
        refuse_misspelt_settings()
        mind_foreign_settings(app)
        take_over_remote_control()
        resources = process_resources()
        heartbeat = Heartbeat(resources.settings.heartbeat_file)
        wait_for_servers(resources)
        if at_once:
            interrupt.leave_at_once()  # until Celery's own handlers are there
    except SettingsError as error:
        leave(str(error), EXIT_SETTINGS)
    except UnreachableError as error:
        leave(str(error), EXIT_UNREACHABLE)
    except KeyboardInterrupt:
        leave("interrupted", EXIT_INTERRUPTED)
    # Sent by a timer of the consumer, which no longer runs when the main loop hangs or has lost its broker.
    signals.heartbeat_sent.connect(lambda **_: heartbeat.beat(), weak=False)


def take_over_remote_control() -> None:
    """Refuse the remote control commands that cannot work, and answer ours."""
    # Half of Celery's worker comes with these. A script that only asks for ``tasks.app`` imports this module as well.
    from tasks.broker import flow_command, remote_control  # noqa: PLC0415

    if is_stock():
        remote_control.install_question()
    else:
        remote_control.install()
    flow_command.install()


def wait_for_servers(resources: Resources) -> None:
    """Return when the broker, Redis and ZooKeeper answer; UnreachableError after the start's deadline."""
    settings = resources.settings
    deadline_s = settings.startup_deadline_s
    wait_for_broker(app, deadline_s)
    wait_for_cache(resources.cache, deadline_s)
    wait_for("ZooKeeper", settings.zookeeper_hosts, lambda: reach_zookeeper(settings), deadline_s=deadline_s)


def reach_zookeeper(settings: TaskSettings) -> None:
    """Open a session and close it: the worker's processes open their own. ConnectionError when there is none."""
    locks = open_locks(settings)
    try:
        locks.acquire({}).release()
    except TransientError as error:
        raise ConnectionError(str(error)) from error
    finally:
        locks.close()


@signals.worker_init.connect
def fit_to_pool(sender: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Let a worker with the group pool prefetch whole groups, and mind the options that its pool cannot follow."""
    try:
        mind_options(sender, process_resources().settings.heartbeat_file)
    except SettingsError as error:
        leave(str(error), EXIT_SETTINGS)
    # Celery reckons from the number of cores.
    if is_stock():
        return
    pool = get_implementation(sender.pool_cls)
    if f"{pool.__module__}:{pool.__name__}" == GROUP_POOL:
        sender.concurrency, sender.prefetch_multiplier = 1, PREFETCH
    elif pool.__module__ == CELERYS_THREADS:
        sender.pool_cls = THREAD_POOL


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def end_session(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """End the ZooKeeper session at once, so that nothing waits for it to expire."""
    close_locks()
