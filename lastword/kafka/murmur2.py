"""Where a key belongs: the hash of Java's default partitioner, which librdkafka calls ``murmur2_random``."""

import struct
from typing import Final

_MULTIPLIER: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Austin Appleby's MurmurHash2 with Kafka's seed, as an unsigned 32-bit number.

    Source: https://sites.google.com/site/murmurhash/ and the Kafka documentation of ``DefaultPartitioner``
    """
    result = (_SEED ^ len(data)) & _MASK
    whole = len(data) - len(data) % 4
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        mixed = word * _MULTIPLIER & _MASK
        mixed = (mixed ^ mixed >> 24) * _MULTIPLIER & _MASK
        result = (result * _MULTIPLIER & _MASK) ^ mixed
    if rest := data[whole:]:
        result = (result ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _MASK
    result = (result ^ result >> 13) * _MULTIPLIER & _MASK
    return result ^ result >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """The partition in which a record with this key lies, if its producer uses the partitioner and none was added."""
    # The sign bit is cut off, not the absolute value taken.
    return (murmur2(key) & 0x7FFFFFFF) % partitions
