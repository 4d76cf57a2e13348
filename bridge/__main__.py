"""``python -m bridge``, and ``lastword``: the command, which runs the bridge unless told otherwise."""

from tasks import interrupt


def main() -> None:
    """Run the command; Ctrl-C ends it without a traceback also while what it needs is still being imported."""
    interrupt.leave_at_once()
    from bridge.cli import main as command  # noqa: PLC0415 - it takes most of a second

    interrupt.run_click(command)


if __name__ == "__main__":
    main()
