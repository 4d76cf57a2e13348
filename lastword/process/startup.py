"""Waiting, visibly and not for ever, until the servers that a process needs can be reached."""

import gc
import sys
import time
from collections.abc import Callable

import click

from lastword.process import interrupt

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


def complain(message: str) -> None:
    """Print lines for a person on standard error, each with the program's name."""
    for line in message.splitlines():
        click.echo(f"lastword: {line}", err=True)


def leave(message: str, code: int) -> None:
    """Print why, and end the process with ``code``."""
    complain(message)
    sys.exit(code)
