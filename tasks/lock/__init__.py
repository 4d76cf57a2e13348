"""The entity locks in ZooKeeper: ``Locks``.

The worker uses `locks`, `opening` and `grant`; `lastword inspect` uses `inspection`. The rest is the room's own.
"""
