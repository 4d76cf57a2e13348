"""How the notices among some updates get their rows."""

import time
from collections.abc import Collection, Sequence

from lastword.contract.errors import LoaderFailedError, NoLoaderError, PermanentError, TransientError
from lastword.contract.record import Rules, Update
from tasks.notices.loader import Loader, Loading
from tasks.notices.row import update_of

FUTURE_LIMIT_S = Rules().future_limit_s


class Notices:
    """Loads the rows for notices, and says what becomes of each.

    ``overdue`` are the places, among the updates, of notices whose rows may be missing, or behind, no longer.
    """

    def __init__(self, loader: Loader | None, *, overdue: Collection[int] = ()) -> None:
        self._loader = loader
        self._overdue = frozenset(overdue)

    def load(self, notices: Sequence[Update]) -> Loading:
        """Begin to load the rows of the notices' entities, with one call. NoLoaderError where there is no loader."""
        if self._loader is None:
            raise NoLoaderError("a notice, and this worker has no loader: set LASTWORD_LOADER as the bridge has it")
        return self._loader.begin([notice.entity_id for notice in notices])

    def update_of(
        self, index: int, notice: Update, row: object
    ) -> Update | TransientError | PermanentError | LoaderFailedError:
        """Return what is to be written for the notice at a place, or why it is not: ``row`` may be an error."""
        if isinstance(row, (TransientError, LoaderFailedError)):
            return row
        return update_of(
            notice,
            row,
            overdue=index in self._overdue,
            future_limit_s=FUTURE_LIMIT_S,
            now_s=time.time(),
        )


NO_NOTICES = Notices(None)
