"""A real Debezium, and records as other sources write them, in front."""
