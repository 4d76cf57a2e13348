"""``celery -A tasks flower`` is for this machine only and asks for a password, unless it is told otherwise.

The page of its broker asks a Redis as Celery does.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import click
from celery import Celery, signals

from lastword.broker.consumers import CONNECT_S, queue_length
from lastword.process import interrupt
from lastword.process.startup import EXIT_SETTINGS, complain, leave
from lastword.settings.shared import SettingsError
from lastword.settings.stock import is_stock

ADDRESS: Final = "127.0.0.1"
USER: Final = "lastword"
FLOWERS_COLUMNS: Final = "name,uuid,state,received,runtime,worker"
"""What Flower shows unless it is told otherwise."""

COLUMNS: Final = "uuid,args,state,result,retries,received,runtime,worker"
"""Of the page of tasks: which record, which entity and version, what became of it, and how often it was tried."""


@signals.import_modules.connect
def protect(**_: Any) -> None:  # noqa: ANN401 - Celery's signal arguments
    """Before Flower opens its port: fill in the address and the password that its options leave open.

    By itself Flower listens everywhere and shows its pages to everybody. It sends this signal when it has read its
    options and before it listens.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "flower":
        return
    if interrupt.stands():
        interrupt.raise_once()  # Flower ends in order then
    if not is_stock():
        _ask_redis_as_celery_does()
    from flower.options import options  # noqa: PLC0415 - the worker need not load Flower

    if options.tasks_columns == FLOWERS_COLUMNS:
        options.tasks_columns = COLUMNS
    if not options.address and not options.unix_socket:
        options.address = ADDRESS
    open_to_all = os.environ.get("FLOWER_UNAUTHENTICATED_API", "").lower() in {"1", "true", "yes", "on"}
    # An empty FLOWER_BASIC_AUTH is no list to Flower, but one whose only user and password are empty.
    options.basic_auth = [login for login in options.basic_auth or [] if login]
    if not all(":" in login.strip(":") for login in options.basic_auth):
        leave("setting FLOWER_BASIC_AUTH: it should be user:password, or several of them with commas", EXIT_SETTINGS)
    if not (options.basic_auth or options.auth or open_to_all):
        try:
            options.basic_auth = credentials()
            complain(f"Flower's user and password are in {credentials_file()}")
        except SettingsError as error:
            leave(str(error), EXIT_SETTINGS)


class Queues:
    """The queues of Celery's broker, looked at over a connection of Celery's own."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    async def queues(self, names: Iterable[str]) -> list[dict[str, str | int]]:
        """How many messages wait in each queue, in the form of Flower's own."""
        return await asyncio.get_running_loop().run_in_executor(None, self._lengths, list(names))

    def _lengths(self, names: list[str]) -> list[dict[str, str | int]]:
        connection: Any  # kombu's stubs lack half of it
        with self._app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_S)
            return [{"name": name, "messages": queue_length(connection, name)} for name in names]


def _ask_redis_as_celery_does() -> None:
    """Let Flower's pages see the lengths of queues wherever Celery has its broker.

    Flower's own client of Redis overlooks what the broker's URL says behind its ``?``, so that a private authority is
    unknown to it; of several Sentinels it takes the first, and of any database the one with the number 0.
    """
    from flower.views import BaseHandler  # noqa: PLC0415 - the worker need not load Flower

    flowers_own = BaseHandler.get_broker

    def get_broker(handler: Any) -> Any:  # noqa: ANN401 - Flower has no types
        return Queues(handler.capp) if handler.application.transport == "redis" else flowers_own(handler)

    BaseHandler.get_broker = get_broker


def credentials() -> list[str]:
    """Return each ``user:password`` of the file FLOWER_BASIC_AUTH_FILE; without it, a password made at first start.

    SettingsError when a file cannot be read or written, or holds something else.
    """
    path = credentials_file()
    if not os.environ.get("FLOWER_BASIC_AUTH_FILE"):
        _make(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"setting FLOWER_BASIC_AUTH_FILE: given {str(path)!r}; it cannot be read: {why}") from None
    if not lines or not all(":" in line.strip(":") for line in lines):
        raise SettingsError(
            f"setting FLOWER_BASIC_AUTH_FILE: given {str(path)!r}; it should hold lines of the form user:password"
        )
    return lines


def credentials_file() -> Path:
    """Return FLOWER_BASIC_AUTH_FILE, else ``lastword/flower`` in XDG_STATE_HOME or in ``~/.local/state``."""
    given = os.environ.get("FLOWER_BASIC_AUTH_FILE")
    if given:
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "lastword" / "flower"


def _make(path: Path) -> None:
    """Make a password and show it, unless there is one."""
    made = f"{USER}:{secrets.token_urlsafe(18)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            contextlib.suppress(FileExistsError),
            os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file,
        ):
            file.write(f"{made}\n")
            complain(f"Flower's user and password, made now: {made}")
    except OSError as error:
        with contextlib.suppress(OSError):
            if not path.stat().st_size:  # the disk is full: not to be taken for a password at the next start
                path.unlink()
        raise SettingsError(
            f"Flower's password cannot be kept in {path}: {error.strerror}; "
            "set FLOWER_BASIC_AUTH_FILE or XDG_STATE_HOME"
        ) from None
