"""Redis filled again from the topic, beside live traffic: each record's update gets applied unless it is held."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Message

from lastword.commands.verifying.repair import LocatedUpdate, Repair
from lastword.contract.record import InvalidUpdateError, Rules
from lastword.formats.decoding import updates_of
from lastword.kafka.reading import Reading

FETCH: Final = 1_000


@dataclass(slots=True)
class Rebuilt:
    """How many records were read, and how many of them are invalid: they have their dead letters already."""

    records: int = 0
    invalid: int = 0


def rebuild(reading: Reading, repair: Repair, rules: Rules, show: Callable[[Rebuilt], None]) -> Rebuilt:
    """Read to the end, and return when each update is held, confirmed or given up, or when the repair has stalled.

    No more is in memory than one batch and the repair's window. ``show`` is called at every turn.
    """
    result = Rebuilt()
    while not repair.stalled and not (reading.done and not repair.in_flight):
        if repair.hungry and not reading.done:
            messages = reading.fetch(FETCH, repair.idle_s)
            result.records += len(messages)
            repair.give([update for message in messages for update in _updates(message, rules, result)])
        else:
            time.sleep(repair.idle_s)
        repair.turn()
        show(result)
    repair.close()
    return result


def _updates(message: Message, rules: Rules, result: Rebuilt) -> list[LocatedUpdate]:
    partition, offset = message.partition() or 0, message.offset() or 0
    try:
        updates = updates_of(message, rules)
    except InvalidUpdateError:
        result.invalid += 1
        return []
    return [LocatedUpdate(partition, offset, update) for update in updates]
