"""The command ``lastword``, also ``python -m lastword``: it shows its help where it is not told what to do."""

import sys
from collections.abc import Sequence

from lastword.process import interrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; Ctrl-C ends it without a traceback also while what it needs is still being imported."""
    interrupt.leave_at_once()
    from lastword.commands import cli  # noqa: PLC0415 - it takes a moment, and what it imports most of a second

    arguments = sys.argv[1:] if arguments is None else arguments
    cli.import_command(arguments)
    interrupt.run_click(cli.main, arguments=arguments)


if __name__ == "__main__":
    main()
