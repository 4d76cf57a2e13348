"""Dead letters sent back to the topic that they came from, each at the version that it had.

Source: docs/decisions/0009-replay-at-the-original-version.md
"""

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from bridge.letters.dead_letters import Headers
from lastword.commands.parameters import RecordId
from lastword.commands.replaying.letter import StoredDeadLetter
from lastword.commands.replaying.original import Read, RecordGoneError, restored
from lastword.contract.record import VERSION_HEADER, InvalidUpdateError, Rules
from lastword.kafka.refusal import Properties
from lastword.publisher.publisher import Publisher

FLUSH_S: Final = 60.0
KEPT: Final = 20
DAY_S: Final = 86_400

SENDING_DEFAULTS: Final[dict[str, str | int | bool]] = {
    # How large a record may be is the topic's business: it took this one before.
    "message.max.bytes": 100_000_000,
}


class RefusedError(Exception):
    """A letter is not sent back, and why."""


@dataclass(slots=True)
class SentBack:
    """What became of the letters: how many are on the topic again, and the first of those ``refused``, with why."""

    delivered: int = 0
    refused: int = 0
    reasons: list[tuple[RecordId, str]] = field(default_factory=list)

    def refuse(self, record_id: RecordId, reason: str) -> None:
        """Count a letter that is not sent back."""
        self.refused += 1
        if len(self.reasons) < KEPT:
            self.reasons.append((record_id, reason))


@dataclass(frozen=True, slots=True)
class Terms:
    """Which letters may go back: those of this topic, no older than the horizon, and valid; with ``force`` any."""

    topic: str
    rules: Rules
    horizon_s: int
    force: bool = False


def send_back(letters: Iterable[StoredDeadLetter], properties: Properties, read: Read, terms: Terms) -> SentBack:
    """Publish the records of these letters again; returns when Kafka has them.

    ``read`` is for records that were too large for their letters. PublishError when Kafka does not take them.
    """
    result = SentBack()
    with Publisher({**SENDING_DEFAULTS, **properties}, terms.topic, rules=terms.rules) as publisher:
        for letter in letters:
            try:
                whole = check(letter, read, terms)
            except (RefusedError, RecordGoneError) as error:
                result.refuse(letter.record_id, str(error))
                continue
            publisher.publish_record(
                whole.key,
                whole.value,
                whole.headers,
                on_failed=lambda reason, record_id=letter.record_id: result.refuse(record_id, reason),  # type: ignore[misc]
            )
        publisher.flush(FLUSH_S)
        result.delivered = publisher.delivered
    return result


def check(letter: StoredDeadLetter, read: Read, terms: Terms) -> StoredDeadLetter:
    """Return the letter whole, with its version among its headers, or raise RefusedError or RecordGoneError."""
    if letter.origin is None or letter.topic != terms.topic:
        raise RefusedError(f"its record is not of topic {terms.topic!r}, but of {letter.topic!r}")
    written_ms = letter.at_ms if letter.timestamp_ms is None else letter.timestamp_ms
    age_s = time.time() - (written_ms or 0) / 1_000
    if age_s > terms.horizon_s and not terms.force:
        raise RefusedError(
            f"its record is {age_s / DAY_S:.1f} days old, more than the replay horizon of {terms.horizon_s / DAY_S:g} "
            "(LASTWORD_REPLAY_HORIZON_S): if the product's version has expired since, the old state would win; --force "
            "sends it all the same"
        )
    whole = restored(read, letter)
    try:
        updates = whole.updates(terms.rules)
    except InvalidUpdateError as error:
        if terms.force:
            return whole
        raise RefusedError(
            f"it is still invalid and would come back: {error}; publish the product's present state, or --force"
        ) from error
    return _at_version(whole, [(VERSION_HEADER, str(update.version).encode()) for update in updates])


def _at_version(letter: StoredDeadLetter, versions: Headers) -> StoredDeadLetter:
    """The letter with the version it had: its new offset would make one without a sequence newer than it is."""
    return dataclasses.replace(letter, headers=[h for h in letter.headers if h[0] != VERSION_HEADER] + versions[-1:])
