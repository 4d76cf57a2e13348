"""TiDB's order, which TiCDC tells in each of its protocols: the time of the commit, of the whole cluster.

Source: https://docs.pingcap.com/tidb/stable/tso
"""

from typing import Final

from lastword.contract.version import Position

LOGICAL_BITS: Final = 18
"""Of TiDB's timestamps, beside the milliseconds."""


def position_of_commit(commit: int) -> Position:
    """Where a commit is in the cluster's order: its milliseconds, and the bits that tell commits within one apart.

    Twice as great, these leave a place for a deletion before: in one transaction a key that is taken away and put there
    again is there.
    """
    return commit >> LOGICAL_BITS, ((commit & (1 << LOGICAL_BITS) - 1) << 1) + 1
