"""The client of whatever a Redis URL names; its calls are bounded."""

from collections.abc import Callable
from typing import Final

from redis.connection import ConnectionPool

from lastword.redis.cluster import Cluster
from lastword.redis.login import with_login
from lastword.redis.pipeline import Client, no_retry
from lastword.redis.sentinel import open_pool
from lastword.redis.single import Single
from lastword.redis.url import parse

CALL_TIMEOUT_S: Final = 5.0
"""How long a Redis may be silent: a lock's session must outlast it, twice."""


def open_client(url: str, *, call_timeout_s: float, url_now: Callable[[], str | None] | None = None) -> Client:
    """A client of the Redis at ``url``, which connects at its first call.

    A call ends with an error when Redis is silent for ``call_timeout_s`` while connecting or answering, and is never
    repeated. Options in the URL's query (``?db=2``, ``?socket_timeout=1``) are redis-py's and win over these.
    ``url_now`` reads the URL again, for the user and the password of each new connection.
    ValueError when the URL cannot be used: it says why, and quotes nothing of the user or the password.
    """
    parsed = parse(
        url,
        socket_timeout=call_timeout_s,
        socket_connect_timeout=call_timeout_s,
        # On RESP3 redis-py asks for maintenance notifications, which may stretch the timeouts.
        protocol=2,
    )
    if url_now is not None:
        parsed = with_login(parsed, url_now)
    match parsed.kind:
        case "sentinel":
            return Single(open_pool(parsed, call_timeout_s=call_timeout_s), parsed.address)
        case "cluster":
            return Cluster(parsed, call_timeout_s=call_timeout_s)
    options = dict(parsed.options, retry=no_retry())
    for address in parsed.nodes:
        options.update(host=address.host, port=address.port)
    return Single(ConnectionPool(**options), parsed.address)
