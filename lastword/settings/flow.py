"""What bridge and workers of a flow must agree on: its name, its keys, its queue.

Source: docs/decisions/0023-a-flow-has-a-queue-of-its-own.md
"""

from typing import Final

from pydantic import Field

from lastword.contract.flow import DEFAULT_FLOW, NAME, Destination, flow_of
from lastword.settings.environment import Settings

DEFAULT_PREFIX: Final = "product:"
DEFAULT_QUEUE: Final = "lastword"
"""The queue of the flow with the default name, as it was when there was no other."""


class FlowSettings(Settings):
    """What bridge and workers of a flow must agree on, or they do not find each other."""

    key_prefix: str = Field(
        DEFAULT_PREFIX, min_length=1, description="What stands before the product id in a Redis key"
    )
    flow: str | None = Field(
        None,
        pattern=rf"^{NAME.pattern}$",
        description="The flow's name, where several share a broker: its queue is `lastword.<name>`, that of the flow "
        "`product` is `lastword`. Not set: made from the key prefix",
    )

    @property
    def flow_name(self) -> str:
        """The flow's name, given or made."""
        return self.flow or flow_of(self.key_prefix)

    @property
    def queue(self) -> str:
        """The Celery queue of this flow alone."""
        return DEFAULT_QUEUE if self.flow_name == DEFAULT_FLOW else f"{DEFAULT_QUEUE}.{self.flow_name}"

    @property
    def lock_prefix(self) -> str:
        """What precedes the entity id where a lock lies: nothing for the default flow, as it always was."""
        return "" if self.flow_name == DEFAULT_FLOW else self.key_prefix

    @property
    def destination(self) -> Destination:
        """What a worker with these settings serves, whichever its cache."""
        return Destination(self.flow_name, self.key_prefix)
