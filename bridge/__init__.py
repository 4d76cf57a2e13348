"""From Kafka to Celery and back: an offset is committed only when the cache holds the update."""
