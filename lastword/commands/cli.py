"""The command ``lastword``; ``python -m bridge`` is the same, and runs the bridge where no subcommand is given.

Exit codes: 0 stopped as asked, or fresh; 1 failed, or not fresh; 2 a wrong setting or usage; 3 a server cannot be
reached or a topic is missing; 4 Kafka refuses us (a wrong password, no permission); 130 interrupted.
"""

import importlib
import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import Final, NamedTuple

import click

from lastword.commands.foreign import refuse_foreign

PIPELINE: Final = ("celery", "kombu", "redis", "kazoo", "flower")
"""What ``pip install lastword[pipeline]`` brings, and publishing does without."""


class Entry(NamedTuple):
    """A subcommand: where it is, what the list says of it, and whether it needs bridge and worker."""

    module: str
    summary: str
    pipeline: bool = True


ENTRIES: Final = {
    "dead-letters": Entry("replaying.dead_letters", "Show the records that could not be applied, newest last."),
    "inspect": Entry("inspecting.inspect", "Show how fresh one product is, and what keeps its newest update."),
    "publish": Entry("publish", "Publish changes from a file with one JSON object a line.", pipeline=False),
    "replay": Entry("replaying.replay", "Bring back what Redis has lost, or what was dead-lettered."),
    "run": Entry("run", "Bridge the topic to Celery until SIGTERM or Ctrl-C."),
    "verify": Entry("verifying.verify", "Compare what Redis holds with the topic, and repair it."),
    "worker": Entry("worker", "Run a Celery worker: celery -A tasks worker, with what follows."),
}


class NotInstalledError(click.ClickException):
    """The command needs what ``pip install lastword[pipeline]`` brings."""

    exit_code = 2

    def __init__(self, command: str, missing: str) -> None:
        super().__init__(
            f"'lastword {command}' needs {missing}, which is not installed: pip install 'lastword[pipeline]'"
        )


class Commands(click.Group):
    """Subcommands that are imported when they are called: publishing needs neither Celery nor Redis."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in order."""
        del ctx
        return sorted(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported; NotInstalledError or ForeignError where what it needs is not there."""
        del ctx
        return command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, ENTRIES[name].summary) for name in sorted(ENTRIES)])


@cache  # it is asked for before the call, and by it
def command(name: str) -> click.Command | None:
    """Import a subcommand; None where there is none of this name. NotInstalledError, ForeignError."""
    entry = ENTRIES.get(name)
    if entry is None:
        return None
    if entry.pipeline:
        refuse_foreign()
        missing = next((each for each in PIPELINE if each not in sys.modules and find_spec(each) is None), None)
        if missing:
            raise NotInstalledError(name, missing)
    module = importlib.import_module(f"lastword.commands.{entry.module}")
    command: click.Command = getattr(module, name.replace("-", "_"))
    return command


def import_command(arguments: Sequence[str]) -> None:
    """Import what these arguments will call, before it is called: what Ctrl-C does is another thing then."""
    name = next((each for each in arguments if not each.startswith("-")), "")
    with suppress(click.ClickException):  # the call itself will say it
        command(name)


@click.group(cls=Commands, invoke_without_command=True)
@click.version_option(package_name="lastword")
@click.pass_context
def main(context: click.Context) -> None:
    """Make Redis hold every row's last word: never an older one, never none."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's or the pipe's encoding lacks is an escape there, as it is on standard error.
        sys.stdout.reconfigure(errors="backslashreplace")
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
