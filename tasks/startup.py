"""Waiting, visibly and not for ever, until the servers that a process needs can be reached."""

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import click
from celery import Celery
from kombu.exceptions import OperationalError

from tasks import interrupt
from tasks.cache import Cache
from tasks.errors import CacheUnavailableError
from tasks.settings import SettingsError
from tasks.transport import reason

EXIT_SETTINGS = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = interrupt.EXIT_INTERRUPTED

TRY_EVERY_S = 1.0
SAY_EVERY_S = 10.0


class UnreachableError(Exception):
    """A server could not be reached before the deadline; says which one, at which address, and why."""


def wait_for(what: str, address: str, probe: Callable[[], object], *, deadline_s: float) -> None:
    """Call ``probe`` until it returns, and say on standard error what is waited for, each new reason, and now and then.

    ``probe`` raises ConnectionError with a reason as long as the server cannot be used.

    Raises:
        UnreachableError: ``deadline_s`` seconds have passed since it first did.
    """
    begin: float | None = None
    said, said_at = "", 0.0
    while True:
        try:
            probe()
        except ConnectionError as error:
            now = time.monotonic()
            begin = now if begin is None else begin  # a first try may take longer than one would wait: it is said too
            waited_s = now - begin
            reason = str(error).removeprefix(f"{what} at {address}").lstrip(": ")
            if waited_s >= deadline_s:
                raise UnreachableError(
                    f"{what} at {address} cannot be reached: {reason}; gave up after {waited_s:.0f} s "
                    "(LASTWORD_STARTUP_DEADLINE_S)"
                ) from error
            if reason != said or now - said_at >= SAY_EVERY_S:
                said, said_at = reason, now
                complain(f"waiting for {what} at {address}: {reason} ({waited_s:.0f} s of {deadline_s:g} s)")
            time.sleep(min(TRY_EVERY_S, max(0.0, deadline_s - waited_s)))
        else:
            return


def collect_seldom() -> None:
    """Let Python look for garbage in cycles less often, and never among what is here now.

    Messages and tasks by the thousand are alive at a time, hardly any of them in a cycle. To look through all of them
    again and again took a quarter of a worker's time. Memory grows by a few megabytes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def broker_address(app: Celery) -> str:
    """Return the broker's address without its password; SettingsError when the URL cannot be used."""
    try:
        connection = app.connection_for_write()
        connection.get_transport_cls()
    except (KeyError, ImportError, AttributeError) as error:
        scheme = str(app.conf.broker_url).partition(":")[0]
        raise SettingsError(
            f"setting CELERY_BROKER_URL: given the scheme {scheme!r}; redis, rediss, sentinel and amqp are allowed"
        ) from error
    except (ValueError, TypeError):  # the latter: a ?password=
        raise _unreadable_broker_url() from None
    if connection.transport_cls == "sentinel" and not app.conf.broker_transport_options.get("master_name"):
        raise SettingsError(
            "setting CELERY_BROKER_URL: Sentinels are given, but not the name of their service; wanted is "
            'CELERY_BROKER_TRANSPORT_OPTIONS=\'{"master_name": "mymaster"}\''
        )
    return str(connection.as_uri())


def _unreadable_broker_url() -> SettingsError:
    # Python's and kombu's own messages quote what they take for the port or the database: a piece of the password.
    return SettingsError(
        "setting CELERY_BROKER_URL: unreadable host, port or database; in its user and password, before the @, "
        "write / ? # @ [ ] as %2F %3F %23 %40 %5B %5D"
    )


def reach_broker(app: Celery) -> None:
    """Return when the Celery broker takes our queue; ConnectionError with a reason when not, SettingsError for its URL.

    A replica, a full server, or one that does not allow us enough, answers and is of no use.
    """
    connection: Any  # kombu's stubs lack half of it
    with app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            app.amqp.queues[app.conf.task_default_queue](connection.default_channel).declare()
        # What kombu does not try again comes as RabbitMQ's own: a wrong password, a virtual host that is not there.
        except (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            raise ConnectionError(reason(error)) from error
        except ValueError:
            raise _unreadable_broker_url() from None


def reach_cache(cache: Cache) -> None:
    """Return when Redis answers, with a warning if it may evict keys; ConnectionError with a reason when not."""
    try:
        policy = cache.eviction_policy()
    except CacheUnavailableError as error:
        raise ConnectionError(str(error)) from error
    if policy != "noeviction":
        complain(
            f"Redis at {cache.address} has the maxmemory-policy {policy!r}: it may forget a version, and then an older "
            "update wins; freshness is not guaranteed"
        )


def complain(message: str) -> None:
    """Print lines for a person on standard error, each with the program's name."""
    for line in message.splitlines():
        click.echo(f"lastword: {line}", err=True)


def leave(message: str, code: int) -> None:
    """Print why, and end the process with ``code``."""
    complain(message)
    sys.exit(code)
