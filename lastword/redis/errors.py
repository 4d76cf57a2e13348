"""What an error of Redis means, and what to tell a person: its kind, what it said, and what to do about it."""

import re
import ssl
from typing import Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

CACHE_PERMISSIONS: Final = (
    "the ACL user needs the keys <key prefix>* and lastword:*, and +evalsha +script|load +hget +hmget +hset "
    "+hdel +expire +persist +type +get +set +info +wait, with Sentinel +role, with Cluster +cluster|slots"
)

_CODE: Final = re.compile(r"(?:^|: -)([A-Z]+)\b")
"""The code at the beginning of what a server says; Redis 6.2 quotes what a script has met behind its own."""

_CODES: Final = {
    "BusyLoadingError": "LOADING",
    "MasterDownError": "MASTERDOWN",
    "NotPrimaryError": "READONLY",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
}
"""Of the errors of which redis-py cuts the code off and a person can be told more."""

_ADVICE: Final = {
    "BUSY": "a script runs on it for too long: SCRIPT KILL ends it",
    "InvalidResponse": "what answers there is not Redis",
    "LOADING": "it reads its data from disk",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "MAXCLIENTS": "its maxclients is reached",
    "MISCONF": "it cannot save its snapshots: look at its log and its disk",
    "NOREPLICAS": "fewer replicas than its min-replicas-to-write follow it",
    "OOM": "its maxmemory is reached",
    "READONLY": "after a failover the primary must be found at this address",
}

_OF_A_CLUSTER: Final = (
    "it is a node of a Redis Cluster: the URL should begin with redis+cluster:// or rediss+cluster://"
)


class NotPrimaryError(RedisConnectionError):
    """A replica has answered, where only the primary counts: a failover is not over, or has passed us by."""


def code_of(error: RedisError) -> str:
    """The code that the server gave, like READONLY; where there is none to be seen, the error's kind."""
    status = getattr(error, "status_code", None)  # which redis-py 6 does not have
    if status and status != "ERR":
        return str(status)
    if "max number of clients" in str(error):
        return "MAXCLIENTS"
    kind = type(error).__name__
    given = _CODE.findall(str(error))
    return _CODES.get(kind) or (given[-1] if given else kind)


def is_refusal(error: RedisError, *, of_cluster: bool = False) -> bool:
    """Whether the server does not serve us, so that another one may be at its address; else it is one key's matter."""
    if isinstance(error, AskError | TryAgainError):  # MOVED is an AskError
        return not of_cluster
    return not isinstance(error, NoScriptError) and code_of(error) not in {"WRONGTYPE", "NOSCRIPT", "EXECABORT"}


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
    if isinstance(error, AskError):
        return _OF_A_CLUSTER
    return _ADVICE.get(code_of(error), "")
