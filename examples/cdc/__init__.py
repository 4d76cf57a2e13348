"""A real PostgreSQL and a real Debezium in front of the flow: Redis follows the database's own log."""
