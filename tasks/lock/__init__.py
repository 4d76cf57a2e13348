"""The entity locks in ZooKeeper: ``Locks``."""
