"""``python -m bridge``, and ``lastword``: the command, which runs the bridge unless told otherwise."""

import sys


def main() -> None:
    """Run the command; Ctrl-C ends it without a traceback also while what it needs is still being imported."""
    try:
        from bridge.cli import main as command  # noqa: PLC0415 - it takes most of a second
    except KeyboardInterrupt:
        sys.stderr.write("lastword: interrupted\n")
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
