"""``lastword worker``: Celery's own command for a worker, once nothing foreign stands in its way."""

import os
import sys
from pathlib import Path

import click

from lastword.commands.foreign import refuse_foreign


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Run ``celery -A tasks worker`` with whatever follows; ``lastword worker --help`` is Celery's."""
    refuse_foreign(str(Path.cwd()))  # where celery looks first
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - this process becomes the worker: signals and exit code are its own
