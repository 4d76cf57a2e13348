"""Where the lock of an entity lies in ZooKeeper: any entity id is a valid, distinct path."""

import hashlib
from functools import lru_cache
from typing import Final

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
"""The znodes under ``<root>/locks`` that spread the locks, so that no znode has too many children."""

_LONGEST_NAME: Final = 200  # bytes; a longer one is hashed, so that 50 locks stay far below ZooKeeper's jute.maxbuffer
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ESCAPED: Final = tuple(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256))


@lru_cache(maxsize=4096)  # it is needed again when the lock is released
def lock_path(root: str, entity_id: str) -> str:
    """The path of the entity's lock under ``root``; two different ids never share one.

    ``<root>/locks/<shard>/p<id, percent-encoded>``, or ``…/h<SHA-256 of the id>`` where that name is longer than 200
    bytes. A lone surrogate, which has no UTF-8 form, is encoded as if it had one.
    """
    raw = entity_id.encode("utf-8", errors="surrogatepass")
    digest = hashlib.sha256(raw)
    name = "p" + (entity_id if _PLAIN.issuperset(raw) else "".join(map(_ESCAPED.__getitem__, raw)))
    if len(name) > _LONGEST_NAME:
        name = "h" + digest.hexdigest()
    return f"{root}/locks/{SHARDS[digest.digest()[0]]}/{name}"
