"""Many tasks, one group; the pool that runs them, and Celery's own pools.

Others use `batches`, `groups`, `ungrouped` and `worker_options`. Celery is told the names of `pool` and `thread_pool`.
"""
