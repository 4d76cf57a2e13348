"""Celery tasks out: the messages, and what has become of them."""
