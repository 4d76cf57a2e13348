"""Debezium's events, flattened or not; the others use ``events``, ``flattened``, and of ``key`` which id it has."""
