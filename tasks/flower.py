"""``celery -A tasks flower`` is for this machine only and asks for a password, unless it is told otherwise."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any, Final

import click
from celery import signals

from tasks import interrupt
from tasks.settings import SettingsError
from tasks.startup import EXIT_SETTINGS, complain, leave

ADDRESS: Final = "127.0.0.1"
USER: Final = "lastword"


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
    from flower.options import options  # noqa: PLC0415 - the worker need not load Flower

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
