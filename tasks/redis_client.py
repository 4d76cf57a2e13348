"""A redis-py client whose calls are bounded, and the address to name in messages."""

from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry


def open_client(url: str, *, call_timeout_s: float) -> redis.Redis:
    """A client of the Redis at ``url``, which connects at its first call.

    A call ends with an error when Redis is silent for ``call_timeout_s`` while connecting or answering, and is never
    repeated. Options in the URL's query (``?db=2``, ``?socket_timeout=1``) are redis-py's and win over these.
    ValueError when the URL cannot be used: it says why, and quotes nothing of the user or the password.
    """
    try:
        urlsplit(url).port  # noqa: B018 - reading it checks it; redis-py's own error quotes a piece of the password
    except ValueError:
        raise ValueError(
            "unreadable host or port in the Redis URL; in its user and password write / ? # @ as %2F %3F %23 %40"
        ) from None
    client = redis.Redis.from_url(
        url,
        socket_timeout=call_timeout_s,
        socket_connect_timeout=call_timeout_s,
        # Repeats would multiply the time a call may take; whoever asked retries, or looks again, by a clock of its own.
        retry=Retry(NoBackoff(), 0),
        # On RESP3 redis-py asks for maintenance notifications, which may stretch the timeouts.
        protocol=2,
    )
    pool = client.connection_pool
    try:
        pool.connection_class(**pool.connection_kwargs)  # connects nothing; redis-py itself does it at the first call
    except (TypeError, RedisError) as error:
        raise ValueError(f"an option in the Redis URL cannot be used: {error}") from error
    return client


def address_of(client: redis.Redis) -> str:
    """``host:port`` or the path of the Unix socket that ``client`` connects to."""
    settings = client.get_connection_kwargs()
    return str(settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}")
