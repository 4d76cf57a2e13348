"""From a record to its updates: JSON, Debezium, Canal, Maxwell, CloudEvents. Pure."""
