"""``python -m servers.fetch`` fetches the jars of Kafka and ZooKeeper, once; it shows how far it is, or nothing.

With ``--share-classes`` it also makes, once, what lets them start with less: for whoever starts them many times.
"""

import sys

from lastword.process import interrupt
from servers.errors import JarError, ServerError
from servers.jars import fetch_jars


def main() -> int:
    """Fetch what is not here yet; 0 if all is here, 1 if it cannot be had."""
    try:
        fetch_jars("kafka")  # those of both
        if "--share-classes" in sys.argv:
            share_classes()
    except (JarError, ServerError, OSError) as error:
        sys.stderr.write(f"lastword: {error}\n")
        return 1
    return 0


def share_classes() -> None:
    """Make the files of classes of Kafka and ZooKeeper, unless they are there."""
    # Most of the time there is nothing to do, and these take a while.
    from servers import Kafka, ZooKeeper, class_data  # noqa: PLC0415
    from servers.java import find_java  # noqa: PLC0415

    for name, server in (("kafka", Kafka), ("zookeeper", ZooKeeper)):
        class_data.make(find_java().program, fetch_jars(name), server)


if __name__ == "__main__":
    interrupt.run(main)
