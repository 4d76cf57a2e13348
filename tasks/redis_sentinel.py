"""The primary that Redis Sentinels name, asked anew at every connection, and checked to be one."""

from typing import Any

from redis.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from tasks.redis_errors import explain
from tasks.redis_pipeline import no_retry
from tasks.redis_url import RedisUrl


class NotPrimaryError(RedisConnectionError):
    """The server that the Sentinels named is a replica: the failover is not over."""


class Sentinels(Sentinel):
    """Redis-py's Sentinels, which say why no primary was found."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """The primary's host and port, as the first Sentinel says that answers; it is asked first from then on."""
        reasons = []
        for sentinel in list(self.sentinels):
            address = "{host}:{port}".format_map(sentinel.get_connection_kwargs())
            try:
                found = sentinel.sentinel_get_master_addr_by_name(service_name)
            except RedisError as error:
                reasons.append(f"{address}: {explain(error)}")
                continue
            if isinstance(found, tuple):
                self.sentinels = [sentinel, *(other for other in self.sentinels if other is not sentinel)]
                return str(found[0]), found[1]
            reasons.append(f"{address}: knows no service of this name")
        raise MasterNotFoundError(f"no Sentinel names a primary of {service_name!r} ({'; '.join(reasons)})")


def open_pool(url: RedisUrl, *, call_timeout_s: float) -> SentinelConnectionPool:
    """The pool of connections to the primary of the URL's service; nothing is connected yet."""
    options = dict(url.options)
    ssl = {name: value for name, value in options.items() if name.startswith("ssl_")}
    over_tls = "connection_class" in options
    options.pop("connection_class", None)
    sentinels = Sentinels(  # type: ignore[no-untyped-call]
        url.nodes,
        sentinel_kwargs={
            # Before a call can be sent all of them may have to be asked.
            "socket_timeout": call_timeout_s / len(url.nodes),
            "socket_connect_timeout": call_timeout_s / len(url.nodes),
            "retry": no_retry(),
            "protocol": 2,
            "decode_responses": True,
            "ssl": over_tls,
            **ssl,
            **url.sentinel_login,
        },
    )
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        url.service, sentinels, ssl=over_tls, retry=no_retry(), redis_connect_func=_require_primary, **options
    )


def _require_primary(connection: Connection) -> None:
    """Sentinels may be behind: ask the server itself."""
    connection.on_connect()  # type: ignore[no-untyped-call]
    connection.send_command("ROLE")  # type: ignore[no-untyped-call]
    answer: Any = connection.read_response()
    if answer[0] != b"master":
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise NotPrimaryError(f"{connection.host}:{connection.port} is a replica, though the Sentinels name it")
