"""What can become of a change that is published: delivered, or one of these."""

from typing import Final, NamedTuple

from lastword.contract.change import Change

NAMED_FAILURES: Final = 3


class PublishError(Exception):
    """Something was not published."""


class BufferFullError(PublishError):
    """The buffer stayed full: Kafka takes records more slowly than they come, or not at all."""


class Failure(NamedTuple):
    """A change that Kafka did not take, and why; None for a record that was not given as a change."""

    change: Change | None
    reason: str


class DeliveryError(PublishError):
    """Not everything was delivered: ``failed`` were not, the first ``failures``; ``pending`` are still under way."""

    def __init__(self, failures: list[Failure], failed: int, pending: int) -> None:
        self.failures, self.failed, self.pending = failures, failed, pending
        parts = [f"{failed} records were not delivered"] if failed else []
        parts += [f"{pending} are still on their way"] if pending else []
        named = [
            f"{'a record' if change is None else f'product {change.product_id!r}'}: {reason}"
            for change, reason in failures[:NAMED_FAILURES]
        ]
        super().__init__("; ".join([", ".join(parts), *named]))
