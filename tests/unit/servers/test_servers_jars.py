import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from servers import jars, jgo_download, mvn_download
from servers.errors import JarError
from servers.jars import cache_directory, fetch_jars, verify
from servers.pins import Jar, pinned_jars, pinned_version

CONTENT = b"a jar, more or less"


def jar_of(content: bytes, artifact: str = "thing", server: str = "kafka") -> Jar:
    return Jar("org.example", artifact, "1.0", hashlib.sha256(content).hexdigest(), len(content), (server,))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "lastword" / "jars"


class Source:
    """Stands for mvn and jgo: brings the given content for every jar, and counts."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.brought: list[Jar] = []

    def download(self, wanted: Sequence[Jar], directory: Path, arrived: Callable[[Jar], None]) -> None:
        for jar in wanted:
            (directory / jar.file_name).write_bytes(self.content)
            self.brought.append(jar)
            arrived(jar)


def use(monkeypatch: pytest.MonkeyPatch, pins: Sequence[Jar], source: Source) -> None:
    monkeypatch.setattr(jars, "pinned_jars", lambda: tuple(pins))
    monkeypatch.setattr(mvn_download, "download", source.download)
    monkeypatch.setattr(jgo_download, "download", source.download)


def test_the_pinned_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "thing.jar"
    path.write_bytes(CONTENT)
    verify(jar_of(CONTENT), path)
    assert path.read_bytes() == CONTENT


def test_another_file_is_refused_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "thing.jar"
    path.write_bytes(CONTENT + b"!")
    pinned = jar_of(CONTENT)
    with pytest.raises(JarError, match=rf"org.example:thing:1.0 has SHA-256 \w+, but jars.lock pins {pinned.sha256}"):
        verify(pinned, path)
    assert not path.exists()


def test_a_wrong_download_never_reaches_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, [jar_of(CONTENT)], Source(b"something else"))
    with pytest.raises(JarError):
        fetch_jars("kafka")
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_what_the_cache_holds_is_not_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = [jar_of(CONTENT, "one"), jar_of(CONTENT, "two", server="zookeeper")]
    source = Source(CONTENT)
    use(monkeypatch, pins, source)
    assert fetch_jars("kafka") == [cache / "org.example.one-1.0.jar"]
    assert fetch_jars("zookeeper") == [cache / "org.example.two-1.0.jar"]
    assert source.brought == pins


def test_first_runs_at_the_same_time_fetch_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(CONTENT)
    use(monkeypatch, [jar_of(CONTENT)], source)
    runs = [threading.Thread(target=fetch_jars, args=["kafka"]) for _ in range(8)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(source.brought) == 1
    assert (cache / "org.example.thing-1.0.jar").read_bytes() == CONTENT


def test_the_lock_pins_each_file_once_by_a_whole_hash() -> None:
    names = [jar.file_name for jar in pinned_jars()]
    assert len(set(names)) == len(names)
    assert all(len(bytes.fromhex(jar.sha256)) == 32 and jar.size > 0 for jar in pinned_jars())


def test_kafka_gets_one_version_of_everything() -> None:
    kafka = [jar for jar in pinned_jars() if "kafka" in jar.servers]
    assert len({(jar.group, jar.artifact) for jar in kafka}) == len(kafka)
    assert {jar.version for jar in kafka if jar.group == "org.apache.kafka"} == {
        pinned_version("kafka", "kafka-clients")
    }


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache" / "lastword" / "jars"


def test_what_not_every_run_needs_is_fetched_when_it_is_asked_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Jar(
        "org.example", "shared", "1.0", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), ("kafka", "connect")
    )
    pins = [jar_of(CONTENT, "one"), shared, jar_of(CONTENT, "two", server="connect")]
    source = Source(CONTENT)
    use(monkeypatch, pins, source)
    fetch_jars("kafka")
    assert source.brought == pins[:2]
    assert fetch_jars("connect") == [cache / "org.example.shared-1.0.jar", cache / "org.example.two-1.0.jar"]
    assert source.brought == pins
