import pytest
from kazoo.exceptions import NodeExistsError, NoNodeError, RolledBackError, RuntimeInconsistency

from tasks.lock.locks import Locks
from tasks.lock.session import first_failure


def test_a_committed_multi_has_no_failure() -> None:
    assert first_failure(["/a", True, object()]) is None


def test_the_failure_is_the_operation_that_rolled_the_others_back() -> None:
    culprit = NodeExistsError()
    assert first_failure([RolledBackError(), RolledBackError(), culprit, RuntimeInconsistency()]) == (2, culprit)
    first = NoNodeError()
    assert first_failure([first, RuntimeInconsistency()]) == (0, first)


def test_a_multi_rolled_back_without_a_reason_is_a_failure_all_the_same() -> None:
    rolled_back = RolledBackError()
    assert first_failure([rolled_back]) == (0, rolled_back)


@pytest.mark.parametrize("hosts", ["", ":2181", "localhost:http", "h1,:1"])
def test_hosts_that_cannot_be_are_refused_at_once(hosts: str) -> None:
    with pytest.raises(ValueError, match="wanted is host:port"):
        Locks(hosts)


@pytest.mark.parametrize("root", ["", "/", "lastword", "/a//b", "/a/", "/a/../b", "/."])
def test_a_root_that_cannot_be_is_refused_at_once(root: str) -> None:
    with pytest.raises(ValueError, match="wanted is a path like /lastword"):
        Locks("localhost:2181", root=root)
