"""``python -m bridge`` runs the bridge unless told otherwise; ``lastword`` is the same command, and shows its help."""

from tasks import interrupt


def main(*, show_help: bool = False) -> None:
    """Run the command; Ctrl-C ends it without a traceback also while what it needs is still being imported."""
    interrupt.leave_at_once()
    from bridge import cli  # noqa: PLC0415 - it takes most of a second

    interrupt.run_click(cli.main, obj=cli.SHOW_HELP if show_help else None)


def lastword() -> None:
    """Run the installed command: ``main``, which shows its help where it is not told what to do."""
    main(show_help=True)


if __name__ == "__main__":
    main()
