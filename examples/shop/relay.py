"""``python -m examples.shop.relay``: carries the outbox to Kafka, each change at least once, a product's in order.

A row leaves the outbox when Kafka has its change: a relay that is killed before publishes it again, which does no harm.
On PostgreSQL several relays share the work: each locks the first rows of some products, and what follows of them is its
own until it has committed. On SQLite let there be one.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, aliased

from examples.shop.tables import READS, Outbox, open_database
from lastword import Change, InvalidUpdateError, Publisher, PublishError
from lastword.process import interrupt

logger = logging.getLogger(__name__)

BATCH: Final = 500
PRODUCTS: Final = 10
"""Of how many products one relay carries changes at a time; the others' are left to other relays."""

IDLE_S: Final = 0.05
TROUBLE_S: Final = 1.0


def relay_once(engine: Engine, publisher: Publisher, most: int = BATCH) -> int:
    """Publish what is in the outbox, ``most`` at a time, and return how many those were.

    DeliveryError: Kafka did not take all of it; then all of it stays, and comes again.
    """
    in_one = engine.dialect.name != "sqlite"  # there, whoever writes keeps all others from writing
    with Session(engine.execution_options(**READS)) as session, session.begin():
        rows = _next_rows(session, most)
        for row in rows:
            _publish(publisher, row)
        publisher.flush()
        done = delete(Outbox).where(Outbox.id.in_([row.id for row in rows]))
        if rows and in_one:
            session.execute(done)
    if rows and not in_one:
        with Session(engine) as session, session.begin():
            session.execute(done)
    return len(rows)


def run(engine: Engine, publisher: Publisher, stopping: Callable[[float], bool]) -> None:
    """Relay until ``stopping(pause_s)`` is true."""
    pause_s = 0.0
    while not stopping(pause_s):
        try:
            pause_s = 0.0 if relay_once(engine, publisher) else IDLE_S
        except (PublishError, OperationalError) as error:
            logger.warning("again in %g s: %s", TROUBLE_S, error)
            pause_s = TROUBLE_S


def _next_rows(session: Session, most: int) -> list[Outbox]:
    """The oldest changes, of products that no other relay is carrying."""
    earlier = aliased(Outbox)
    is_first = ~select(earlier.id).where(earlier.product_id == Outbox.product_id, earlier.id < Outbox.id).exists()
    first = select(Outbox.product_id).where(is_first).order_by(Outbox.id).limit(PRODUCTS)
    products = list(session.scalars(first.with_for_update(skip_locked=True)))
    found = select(Outbox).where(Outbox.product_id.in_(products)).order_by(Outbox.id).limit(most)
    return list(session.scalars(found)) if products else []


def _publish(publisher: Publisher, row: Outbox) -> None:
    try:
        publisher.publish(_change(row))
    except InvalidUpdateError as error:
        # The bridge makes a dead letter of it, with the reason; here it would stop all others.
        logger.warning("product %d, version %d is invalid: %s", row.product_id, row.version, error)
        publisher.publish_record(str(row.product_id).encode(), msgspec.json.encode(_change(row)))


def _change(row: Outbox) -> Change:
    change = Change(product_id=row.product_id, updated_at=row.updated_at, sequence=row.version, deleted=row.deleted)
    return change if row.data is None else msgspec.structs.replace(change, data=msgspec.Raw(row.data.encode()))


def main() -> int:
    """Relay the database of SHOP_DATABASE until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with Publisher.from_environment() as publisher:
        run(open_database(os.environ["SHOP_DATABASE"]), publisher, stopped.wait)
    return 0


if __name__ == "__main__":
    interrupt.run(main)
