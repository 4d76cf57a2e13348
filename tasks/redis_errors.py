"""What to tell a person about an error of Redis: its kind, what it said, and what to do about it."""

import ssl
from typing import Final

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

CACHE_PERMISSIONS: Final = (
    "the ACL user needs the keys <key prefix>* and lastword:*, and +evalsha +script|load +hget +hmget +hset "
    "+hdel +expire +persist +type +get +set +info +wait, with Sentinel +role, with Cluster +cluster|slots"
)


def explain(error: RedisError, *, permissions: str = "") -> str:
    """The error's kind and words and, where a person can mend it, how; ``permissions`` are those the user needs."""
    # redis-py cuts the code off some errors (OOM, READONLY); their class says it.
    said = f"{type(error).__name__}: {error}"
    advice = permissions if isinstance(error, NoPermissionError) else _advice(error)
    return f"{said} ({advice})" if advice else said


def where(error: RedisError, address: str) -> str:
    """The server of a Cluster that the error came from, if it is noted there; else ``address``."""
    return next(iter(getattr(error, "__notes__", ())), address)


def _advice(error: RedisError) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        if cause.verify_code in {62, 64}:  # a name, an IP address
            return "the certificate is for another name: connect by a name that it carries"
        return "name the file of the CA that signed it: ?ssl_ca_certs=/path in the URL"
    if isinstance(cause, ssl.SSLError):
        return "is there TLS on this port? rediss is for TLS, redis for none"
    if isinstance(error, AuthenticationError):
        return "check the user and the password in the URL"
    return ""
