"""A lock that somebody else holds is deleted and taken."""

from collections.abc import Sequence

from kazoo.interfaces import IAsyncResult

from tasks.lock.path import lock_path
from tasks.lock.session import Session

create_locks = Session.create_locks


def steal_locks(self: Session, entity_ids: Sequence[str]) -> IAsyncResult:
    for entity_id in entity_ids:
        self._client.delete_async(lock_path(self._root, entity_id))  # done before what is sent after it
    return create_locks(self, entity_ids)


Session.create_locks = steal_locks  # type: ignore[method-assign]
