"""From a record to its updates: JSON, Debezium, Canal, Maxwell, CloudEvents. No server is asked.

Others use `decoding`, `record`, `rows` and `origin`; the decoders of Debezium `tidb` too.
`decoding` may call a decoder that is the user's own.
"""
