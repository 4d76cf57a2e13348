"""What can go wrong while an update is applied: permanent or transient decides whether it is retried."""


class TransientError(Exception):
    """May go away by itself: the task is retried until its ``not_after``."""


class PermanentError(Exception):
    """Stays as it is however often it is retried: recorded, and the record is dead-lettered."""


class LockBusyError(TransientError):
    """Somebody else holds the entity's lock."""


class NotAloneError(TransientError):
    """The update must run alone in its process, and another one does not come to an end."""


class SessionLostError(TransientError):
    """There is no usable ZooKeeper session, or the one that held the locks is gone."""


class ZnodeForbiddenError(TransientError):
    """ZooKeeper refuses us one of our znodes, until somebody mends its ACL or our user and password."""


class LockExpiredError(TransientError):
    """The locks have been held for so long that the session may have ended unnoticed."""


class CacheUnavailableError(TransientError):
    """Redis did not answer, or answered with an error that can heal."""


class UnusableKeyError(PermanentError):
    """The entity's key in Redis holds something that is not ours: another type, or no readable version."""


class NoLoaderError(TransientError):
    """A notice has come, and this worker has no loader; another worker may."""


class ApartError(TransientError):
    """The entity's changes are in several partitions: what there is to write must be loaded."""


class LoaderSlowError(TransientError):
    """The loader did not return by its deadline."""


class LoaderUnavailableError(TransientError):
    """The loader says that it cannot reach what it loads from."""


class LoaderFailedError(Exception):
    """The loader raised what nobody foresaw: retried a few times, then permanent."""


class RowBehindError(TransientError):
    """The row is missing, or older than the notice of its change: a replica may lag behind."""


class RowStaysBehindError(PermanentError):
    """The row is older than the notice of its change, and has been for too long."""


class UnusableRowError(PermanentError):
    """What the loader returned for an entity cannot be used."""
