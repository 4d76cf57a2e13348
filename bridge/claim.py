"""The bridge's claim to its keys: one topic for a key prefix, noted in the cache, whose name goes with every task."""

import logging
import secrets
import time
from typing import Final, Self

from lastword.cache.cache import Cache
from lastword.cache.flow_note import FlowNote, UnreadableNoteError, leave_note, note_key
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.flow import Destination
from lastword.settings.bridge import BridgeSettings
from lastword.settings.shared import SettingsError, TaskSettings

logger = logging.getLogger(__name__)

KEEP_EVERY_S: Final = 5.0


class Claim:
    """Leaves the flow's note in the cache and keeps it there; ``destination`` is what the tasks of the bridge carry."""

    def __init__(self, cache: Cache, destination: Destination, topic: str, group: str) -> None:
        self.destination = destination
        self._cache = cache
        self._note = FlowNote(topic, group, destination.flow, secrets.token_hex(8))
        self._next = 0.0

    @classmethod
    def of(cls, settings: BridgeSettings, task_settings: TaskSettings, cache: Cache) -> Self:
        """The claim of these settings; nothing is asked yet."""
        return cls(cache, task_settings.destination, settings.topic, settings.consumer_group)

    def take(self) -> None:
        """Leave the note unless it stands, and learn the cache's name.

        Raises:
            CacheUnavailableError: Redis does not say, or does not take it.
            SettingsError: the keys are another topic's.
        """
        key_prefix, topic = self.destination.key_prefix, self._note.topic
        try:
            standing = leave_note(self._cache, key_prefix, self._note)
        except UnreadableNoteError as error:
            raise SettingsError(f"setting LASTWORD_KEY_PREFIX: given {key_prefix!r}; {error}. Delete it") from error
        if standing.topic != topic:
            raise SettingsError(
                f"settings LASTWORD_TOPIC and LASTWORD_KEY_PREFIX: given {topic!r} and {key_prefix!r}; in Redis at "
                f"{self._cache.address} these keys are written from topic {standing.topic!r} (flow {standing.flow!r}, "
                f"consumer group {standing.group!r}), and two topics would overwrite each other's. Give this one a "
                "LASTWORD_KEY_PREFIX of its own, for its bridge and its workers. If the topic was renamed on purpose, "
                f"stop the other's bridges and delete the note: DEL {note_key(key_prefix)!r}"
            )
        # Should it be lost with the cache's other data, it is left again as it was.
        self._note = standing
        self.destination = Destination(self.destination.flow, key_prefix, standing.cache)
        self._next = time.monotonic() + KEEP_EVERY_S

    def keep(self, now: float) -> None:
        """Leave the note again where somebody has deleted it, now and then; SettingsError as ``take`` has it."""
        if now >= self._next:
            self._next = now + KEEP_EVERY_S
            try:
                self.take()
            except CacheUnavailableError as error:
                logger.debug("the note of the flow cannot be looked at: %s", error)  # the polls say it louder
