"""What to tell a person about an error of any broker."""

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from lastword.redis.errors import explain


def reason(error: BaseException) -> str:
    """Its words; kombu tells only those of the error that it has caught."""
    error = (error.__cause__ if isinstance(error, KombuError) else None) or error
    if isinstance(error, RedisError):
        return explain(error)
    return repr(error) if isinstance(error, LookupError) else str(error) or type(error).__name__
