"""Whether to use nothing but the public parts of Celery, kombu, kazoo, redis-py and Flower.

Source: docs/private-parts.md
"""

from functools import cache

from pydantic import Field

from lastword.settings.environment import Settings, load


class StockSettings(Settings):
    """A switch for all processes of a flow, each by itself: those with it and those without work side by side."""

    stock: bool = Field(
        default=False,
        description="Use only the public parts of Celery, kombu, kazoo, redis-py and Flower: slower, with the same "
        "guarantees. For a trial with another release of one of them",
    )


@cache
def is_stock() -> bool:
    """Whether this process does without; SettingsError where the setting is neither true nor false."""
    return load(StockSettings).stock
