"""Celery's settings, as lastword/celeryconfig.py has them; one of this name in the working folder comes first."""

from lastword.celeryconfig import *  # noqa: F403 - Celery reads the names of a module
