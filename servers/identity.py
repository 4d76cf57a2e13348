"""Whose a data directory is, and which ids are taken: looked at before a server starts on it.

Kafka itself complains when it is half up, in a stack trace; ZooKeeper takes the id that it finds for its own.
"""

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers.errors import IdentityError

META = "meta.properties"
MYID = "myid"
ALLOWED = range(256)
WHOSE = {"node.id": "node", "cluster.id": "cluster"}


def kafka_id(source: uuid.UUID) -> str:
    """A UUID as Kafka writes it, in 22 characters."""
    return urlsafe_b64encode(source.bytes).rstrip(b"=").decode()


def check_ids(what: str, ids: Sequence[int]) -> None:
    """Raise IdentityError, which names the id, when two servers would have the same, or one is out of range."""
    for position, each in enumerate(ids):
        if each in ids[:position] or each not in ALLOWED:
            wrong = "Two servers would have" if each in ids[:position] else "No server can have"
            raise IdentityError(
                f"{wrong} the {what} {each}; given: {', '.join(map(str, ids))}. Each needs one of its own, from "
                f"{min(ALLOWED)} to {max(ALLOWED)}, and keeps it for as long as its data directory lasts"
            )


def stored_in_kafka(data: Path) -> dict[str, str]:
    """What a Kafka data directory says of itself: ``node.id``, ``cluster.id``, …; empty where it says nothing yet."""
    try:
        lines = (data / META).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name: value for name, _, value in (line.partition("=") for line in lines if not line.startswith("#"))}


def refuse_foreign_kafka(name: str, data: Path, own: Mapping[str, str]) -> None:
    """Raise IdentityError when the data directory is another node's, or another cluster's."""
    stored = stored_in_kafka(data)
    for key, wanted in own.items() if stored else ():
        found = stored.get(key)
        if found != wanted:
            raise IdentityError(
                f"{name} does not start: its data directory belongs to another {WHOSE[key]}. {data / META} says "
                f"{key}={found}, and {name} has {key}={wanted}. {_advice(data)} Do not edit {META}: the data "
                "would still be the other's"
            )


def refuse_other_voters(name: str, known: str, given: str) -> None:
    """Raise IdentityError when the controllers that a node's data knows of are not the ones that are given now."""
    if known != given:
        raise IdentityError(
            f"{name} does not start: its data knows the cluster's controllers as {known}, and now they would be "
            f"{given}. Give the ids and the ports that the cluster was begun with, or another directory"
        )


def refuse_foreign_zookeeper(name: str, data: Path, own_id: int) -> None:
    """Raise IdentityError when the data directory has another server's ``myid``."""
    path = data / MYID
    found = path.read_text(encoding="utf-8").strip() if path.exists() else str(own_id)
    if found != str(own_id):
        raise IdentityError(
            f"{name} does not start: its data directory belongs to another server. {path} says {found}, and {name} has "
            f"the id {own_id}. {_advice(data)} Do not edit {MYID}: the data would still be the other's"
        )


def _advice(data: Path) -> str:
    return (
        f"Put {data} back where it came from, and the right one in its place; or move it away: the server then begins "
        "with an empty one, which the others of its cluster fill."
    )
