"""``python -m servers.fetch`` fetches the jars of Kafka and ZooKeeper, once; it shows how far it is, or nothing."""

import sys

from lastword.process import interrupt
from servers.errors import JarError
from servers.jars import fetch_jars


def main() -> int:
    """Fetch what is not here yet; 0 if all is here, 1 if it cannot be had."""
    try:
        fetch_jars("kafka")  # those of both
    except (JarError, OSError) as error:
        sys.stderr.write(f"lastword: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    interrupt.run(main)
