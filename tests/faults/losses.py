"""What the tests of a Redis that loses writes share."""

from tests.flow import Flow
from tests.waiting import wait_until

COUNT, PRODUCTS = 400, 120


def publish_and_confirm(flow: Flow, *, seed: int = 7) -> None:
    """Publish changes, until each is visible and committed."""
    flow.publish(COUNT, PRODUCTS, seed=seed)
    flow.wait_until_fresh()
    flow.wait_until_all_is_committed()


def wait_until_all_is_back(flow: Flow) -> None:
    # Until it is, committed offsets do pass what is not visible: that is the fault.
    wait_until(lambda: flow.held() == flow.newest, what="every product at its newest")
    flow.wait_until_fresh()
    flow.wait_until_all_is_committed()
