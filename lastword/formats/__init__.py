"""From a record to its updates: JSON, Debezium, Canal, Maxwell, CloudEvents. No server is asked.

Others use `decoding`, `record`, `tables` and `debezium_source`. `decoding` may call a decoder that is the user's own.
"""
