"""``python -m bridge`` runs the bridge unless told otherwise; with a subcommand it is the command ``lastword``."""

import sys

from lastword.__main__ import main

if __name__ == "__main__":
    main(sys.argv[1:] or ["run"])
