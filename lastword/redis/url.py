"""The forms of REDIS_URL, and what they say: where to connect, how, and as whom."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from redis.connection import Connection, parse_url
from redis.exceptions import RedisError

from lastword.settings.shared import REDIS_SCHEMES

SENTINEL_PORT: Final = 26379
REDIS_PORT: Final = 6379

_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

# Python's and redis-py's own errors quote what they take for the port: a piece of the password.
_UNREADABLE: Final = (
    "unreadable host, port or database in the Redis URL; in its user and password write / ? # @ [ ] as "
    "%2F %3F %23 %40 %5B %5D"
)


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class RedisUrl:
    """What a Redis URL says, checked.

    ``kind`` is "sentinel", "cluster" or "". ``nodes`` are the server, the Sentinels or the first nodes of the Cluster;
    none for a Unix socket. ``options`` are redis-py's for a connection, without host and port; ``sentinel_login`` is
    the user and the password for the Sentinels.
    """

    kind: str
    nodes: tuple[Address, ...]
    service: str
    options: dict[str, Any] = field(repr=False)
    sentinel_login: dict[str, Any] = field(repr=False)

    @property
    def address(self) -> str:
        """Where this is, to name in messages."""
        nodes = ",".join(map(str, self.nodes)) or str(self.options.get("path"))
        return f"{nodes}/{self.service}" if self.service else nodes


def parse(url: str, **defaults: Any) -> RedisUrl:  # noqa: ANN401 - redis-py's options have many types
    """Read a Redis URL; the options that it does not give are as in ``defaults``.

    ``redis[s]://[USER:PASSWORD@]HOST[:PORT][/DB]``, ``unix://[USER:PASSWORD@]PATH[?db=DB]``,
    ``redis[s]+sentinel://[USER:PASSWORD@]HOST[:PORT],.../SERVICE[/DB]``,
    ``redis[s]+cluster://[USER:PASSWORD@]HOST[:PORT],...``; in the query the options of a redis-py connection, and those
    of the Sentinels, ``sentinel_username`` and ``sentinel_password``.
    ValueError when the URL cannot be used: it says why, and quotes nothing of the user or the password.
    """
    if not url.startswith(REDIS_SCHEMES):
        raise ValueError(f"the Redis URL should start with one of {', '.join(REDIS_SCHEMES)}")
    scheme, _, rest = url.partition("://")
    transport, _, kind = scheme.partition("+")
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    login, at, hosts = authority.rpartition("@")
    if "#" in rest or "@" in path + query:
        raise ValueError(_UNREADABLE)
    service = ""
    if kind == "sentinel":
        service, _, path = path.partition("/")
        if not service:
            raise ValueError("the Redis URL names no service: wanted is redis+sentinel://HOST:PORT,HOST:PORT/SERVICE")
    if transport != "unix" and path and not path.isdecimal():
        raise ValueError(_UNREADABLE)
    host = "" if transport == "unix" else "host"  # read here, the rest by redis-py
    plain = f"{transport}://{login}{at}{host}/{path}?{query}"
    options = {**defaults, **_parsed(plain)}
    options.pop("host", None)
    if kind == "cluster" and options.pop("db", 0):
        raise ValueError("the Redis URL names a database: a Redis Cluster has only database 0")
    sentinel_login = {}
    if kind == "sentinel":
        given = {name: options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
        sentinel_login = {name: value for name, value in given.items() if value is not None}
    _check(options)
    nodes = () if transport == "unix" else _addresses(hosts.split(",") if kind else [hosts], kind)
    return RedisUrl(kind, nodes, unquote(service), options, sentinel_login)


def _parsed(plain: str) -> dict[str, Any]:
    try:
        return dict(parse_url(plain))  # type: ignore[no-untyped-call]
    except ValueError as error:
        # Of these two redis-py's is about an option; Python's quotes a piece of the password.
        raise ValueError(str(error) if str(error).startswith("Invalid value for") else _UNREADABLE) from None


def _addresses(hosts: Iterable[str], kind: str) -> tuple[Address, ...]:
    default_port = SENTINEL_PORT if kind == "sentinel" else REDIS_PORT
    try:
        parts = [urlsplit(f"//{host}") for host in hosts]
        for part in parts:
            (part.hostname or "").encode("idna")  # which connecting would do, and raise something bare
        return tuple(Address(unquote(part.hostname or "localhost"), part.port or default_port) for part in parts)
    except ValueError:
        raise ValueError(_UNREADABLE) from None


def _check(options: dict[str, Any]) -> None:
    if options.get("decode_responses"):
        raise ValueError("decode_responses in the Redis URL: products are bytes, leave it off")
    for name in _FILES:
        if name in options:
            try:
                Path(options[name]).open("rb").close()
            except OSError as error:
                raise ValueError(f"{name} in the Redis URL cannot be read: {error}") from error
    others = {name: value for name, value in options.items() if name != "connection_class"}
    try:
        options.get("connection_class", Connection)(**others)  # connects nothing
    except (TypeError, RedisError) as error:
        raise ValueError(
            f"an option in the Redis URL cannot be used (those that begin with ssl_ belong to rediss): {error}"
        ) from error
