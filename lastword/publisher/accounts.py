"""What has become of each record that was published, and who waits for that."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, Message

from lastword.contract.change import Change
from lastword.publisher.producing import Producing, in_a_callback
from lastword.publisher.publish_errors import DeliveryError, Failure

logger = logging.getLogger(__name__)

KEPT_FAILURES: Final = 1_000

OnDelivered = Callable[[Message], None]
Report = Callable[[KafkaError | None, Message], None]


class Accounts:
    """How many records are ``pending``, ``delivered`` and ``failed``; ``changed`` guards them, and wakes who waits."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.pending = 0
        self.delivered = 0
        self.failed = 0
        self._unraised = 0
        self._failures: list[Failure] = []

    def report(
        self, producing: Producing, on_failed: Callable[[str], None], on_delivered: OnDelivered | None
    ) -> Report:
        """What librdkafka is to call when it knows what has become of a record."""

        def report(error: KafkaError | None, message: Message) -> None:
            try:
                if error is not None:
                    on_failed(producing.reason(error))
                elif on_delivered is not None:
                    on_delivered(message)
            except Exception:
                # The edge of a thread: an error in a callback must not end the reports of the others.
                logger.exception("a callback of the publisher failed")
            if error is None:
                producing.trouble = ""
            with self.changed:
                self.delivered += error is None
                self.failed += error is not None
                self.pending -= 1

        return report

    def keep(self, change: Change | None, reason: str) -> None:
        """Log a failure, and keep it to be raised."""
        what = "a record" if change is None else f"the change of product {change.product_id!r}"
        logger.error("%s is not published: %s", what, reason)
        with self.changed:
            self._unraised += 1
            if len(self._failures) < KEPT_FAILURES:
                self._failures.append(Failure(change, reason))

    def tell(self) -> None:
        """Wake who waits for a record, or for room in the buffer."""
        with self.changed:
            self.changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Wait until nothing is under way; in a callback, which must not wait, not at all."""
        with self.changed:
            self.changed.wait_for(lambda: self.pending == 0, 0 if in_a_callback() else timeout_s)

    def raise_failures(self) -> None:
        """Raise DeliveryError where something has failed since the last time, or is still under way."""
        with self.changed:
            failures, failed, pending = self._failures, self._unraised, self.pending
            self._failures, self._unraised = [], 0
        if failed or pending:
            raise DeliveryError(failures, failed, pending)
