"""Whether a topic has the rows of several tables: such as have one id overwrite each other, and no version tells."""

import logging
from typing import Final

logger = logging.getLogger(__name__)

NAMED_MAX: Final = 10
"""Of so many tables a warning is written; of more nobody wants to read."""


class Tables:
    """Warns once of each further table."""

    def __init__(self) -> None:
        self._seen: list[str] = []

    def note(self, table: str) -> None:
        """A row of this table has come; "" where that is not told."""
        if not table or table in self._seen or len(self._seen) == NAMED_MAX:
            return
        self._seen.append(table)
        if len(self._seen) > 1:
            logger.warning(
                "the topic has rows of several tables, %s: rows with one id overwrite each other in Redis. Give each "
                "table a topic of its own. Only where the tables are parts of one, with ids that differ, is this right",
                ", ".join(self._seen),
            )
