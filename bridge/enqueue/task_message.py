"""One task for the broker, whoever makes a message of it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

from lastword.contract.task import BATCH_NAME, TASK_NAME, Send, encode, encode_batch, shown

TRANSIENT: Final = 1  # a broker that forgets them is a matter of speed: the bridge sends them again


class TaskMessage(NamedTuple):
    """One task: its id, its positional arguments, what is shown of them, and a nonce that no other message has."""

    name: str
    task_id: str
    arguments: Sequence[Any]
    shown: str
    nonce: str

    @classmethod
    def of(cls, send: Send) -> Self:
        """The task for one update."""
        task_id, arguments = send
        return cls(TASK_NAME, task_id, encode(arguments), shown(arguments), arguments.nonce)

    @classmethod
    def of_many(cls, sends: Sequence[Send]) -> Self:
        """The task for several, named after the first."""
        first = sends[0]
        task_id = f"{first.task_id}+{len(sends) - 1}"
        return cls(BATCH_NAME, task_id, encode_batch(sends), f"({len(sends)} updates)", first.arguments.nonce)
