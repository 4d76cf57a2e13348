"""The product locks in ZooKeeper: ``Locks``."""
