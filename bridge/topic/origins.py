"""Where a topic's rows come from: one table and one connector, or what that would do is said, or stopped."""

import logging
from typing import Final

from lastword.formats.origin import Origin

logger = logging.getLogger(__name__)

NAMED_MAX: Final = 10
"""Of so many tables a warning is written; of more nobody wants to read."""


class Origins:
    """Warns once of each further table, and once of ids whose changes nothing tells."""

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._hides_moves = False

    def note(self, origin: Origin) -> None:
        """A row has come from there."""
        if origin.hides_moves and not self._hides_moves:
            self._hides_moves = True
            logger.warning(
                "the topic's records are keyed by other columns than LASTWORD_ID_FIELD, and do not tell what a row was "
                "before, or which of two partitions' records came last: where an id changes, or goes from row to row, "
                "Redis may hold a row that is gone, or none. Key the records by the id (Debezium: message.key.columns, "
                "behind PostgreSQL with REPLICA IDENTITY FULL); or do not flatten them, and have PostgreSQL with "
                "REPLICA IDENTITY FULL, or a loader"
            )
        self._note_table(origin.table)

    def _note_table(self, table: str) -> None:
        if not table or table in self._seen or len(self._seen) == NAMED_MAX:
            return
        self._seen.append(table)
        if len(self._seen) > 1:
            logger.warning(
                "the topic has rows of several tables, %s: rows with one id overwrite each other in Redis. Give each "
                "table a topic of its own. Only where the tables are parts of one, with ids that differ, is this right",
                ", ".join(self._seen),
            )


class Connectors:
    """Which connectors have written a partition: one may follow another, but two at a time have no order."""

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._returned = False

    def why_stop(self, origin: Origin) -> str:
        """Take note of a record's; return why it may not follow what came before it, "" if it may."""
        name = origin.connector
        if not name or (self._seen and name == self._seen[-1]):
            return ""
        if name in self._seen and self._returned:
            return (
                f"the connectors {self._seen[-1]!r} and {name!r} write it by turns, and nothing orders the changes of "
                "two: give each a topic of its own, and a bridge with another LASTWORD_KEY_PREFIX"
            )
        self._returned = name in self._seen  # once it may: a change of names that was taken back
        self._seen = [*(other for other in self._seen if other != name), name]
        return ""
