"""Celery tasks out: the messages, and what has become of them.

Others use `app` (the application that sends), `delivery` and `enqueue`. How a message is made is the room's own.
"""
