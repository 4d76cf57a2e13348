"""Celery tasks out: the messages, the outbox, what is sent again."""
