"""``python -m bridge``: the ``lastword`` command, which runs the bridge unless told otherwise."""

from bridge.cli import main

if __name__ == "__main__":
    main()
