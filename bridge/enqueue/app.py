"""The Celery application that tasks are sent by; it has none of its own, and needs nothing of the worker."""

from celery import Celery

app = Celery("tasks")
app.config_from_object("celeryconfig")
