"""The file of a server's classes: made once, mapped at each start after it, and not needed."""

from pathlib import Path

import pytest

from servers import ZooKeeper, class_data
from servers.jars import cache_directory, fetch_jars
from servers.java import find_java


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache with nothing in it but the jars."""
    jars = cache_directory()
    fetch_jars("zookeeper")
    cache = tmp_path / "cache" / "lastword"
    cache.mkdir(parents=True)
    (cache / "jars").symlink_to(jars)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    return cache


def mapped(server: ZooKeeper) -> bool:
    return "/lastword/classes/" in Path(f"/proc/{server.pid}/maps").read_text(encoding="utf-8")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process has mapped is seen in /proc")
def test_it_is_made_once_and_mapped_from_then_on(empty_cache: Path, tmp_path: Path) -> None:
    with ZooKeeper(tmp_path / "before") as server:
        assert not mapped(server)

    for _ in range(2):
        class_data.make(find_java().program, fetch_jars("zookeeper"), ZooKeeper)
    [made] = (empty_cache / "classes").glob("*.jsa")

    with ZooKeeper(tmp_path / "after") as server:
        assert mapped(server)

    made.write_bytes(b"damaged")
    with ZooKeeper(tmp_path / "without") as server:
        assert server.running
