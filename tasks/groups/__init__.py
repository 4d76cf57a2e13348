"""Many tasks, one group; the pool that runs them, and Celery's own pools."""
