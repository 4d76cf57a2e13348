"""The primary that Redis Sentinels name, asked anew at every connection, and checked to be one."""

from functools import partial
from typing import Any, Final

from redis.connection import Connection
from redis.exceptions import RedisError
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from lastword.redis.errors import NotPrimaryError, explain
from lastword.redis.pipeline import no_retry
from lastword.redis.url import RedisUrl
from lastword.settings.stock import is_stock

OPENING_S: Final = 2.0
"""The longest wait while a connection is opened: a primary that hangs, and is still named, accepts it all the same."""


class Sentinels(Sentinel):
    """Redis-py's Sentinels, which say why no primary was found."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """The primary's host and port, as the first Sentinel says that answers; it is asked first from then on."""
        reasons = []
        for sentinel in list(self.sentinels):
            address = "{host}:{port}".format_map(sentinel.get_connection_kwargs())
            try:
                primary = sentinel.sentinel_get_master_addr_by_name(service_name)
            except RedisError as error:
                reasons.append(f"{address}: {explain(error)}")
                continue
            if isinstance(primary, tuple):
                self.sentinels = [sentinel, *(other for other in self.sentinels if other is not sentinel)]
                return str(primary[0]), primary[1]
            reasons.append(f"{address}: knows no service of this name")
        raise MasterNotFoundError(f"no Sentinel names a primary of {service_name!r} ({'; '.join(reasons)})")


def open_pool(url: RedisUrl, *, call_timeout_s: float) -> SentinelConnectionPool:
    """The pool of connections to the primary of the URL's service; nothing is connected yet."""
    options = dict(url.options)
    ssl = {name: value for name, value in options.items() if name.startswith("ssl_")}
    over_tls = "connection_class" in options
    options.pop("connection_class", None)
    options["socket_connect_timeout"] = _shorter(options["socket_connect_timeout"])
    # Before a call can be sent all of them may have to be asked.
    ask_s = _shorter(call_timeout_s / len(url.nodes))
    sentinels = Sentinels(  # type: ignore[no-untyped-call]
        url.nodes,
        sentinel_kwargs={
            "socket_timeout": ask_s,
            "socket_connect_timeout": ask_s,
            "retry": no_retry(),
            "protocol": 2,
            "decode_responses": True,
            "ssl": over_tls,
            **ssl,
            **url.sentinel_login,
        },
    )
    require_primary = partial(_require_primary, timeout_s=options["socket_timeout"])
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        url.service, sentinels, ssl=over_tls, retry=no_retry(), redis_connect_func=require_primary, **options
    )


def _shorter(timeout_s: float | None) -> float:
    return OPENING_S if timeout_s is None else min(timeout_s, OPENING_S)


def _require_primary(connection: Connection, *, timeout_s: float | None) -> None:
    """Sentinels may be behind: ask the server itself."""
    # redis-py has one timeout for the opening and for all calls.
    socket: Any = None if is_stock() else connection._sock  # noqa: SLF001 - docs/private-parts.md
    if socket is not None:
        socket.settimeout(_shorter(timeout_s))
    connection.on_connect()  # type: ignore[no-untyped-call]
    connection.send_command("ROLE")  # type: ignore[no-untyped-call]
    answer: Any = connection.read_response()
    if answer[0] != b"master":
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise NotPrimaryError(f"{connection.host}:{connection.port} is a replica, though the Sentinels name it")
    if socket is not None:
        socket.settimeout(timeout_s)
