"""Debezium's events, flattened or not.

Others use `events` and `flattened`, of `key` which id it has, and of `source` how PostgreSQL counts.
"""
