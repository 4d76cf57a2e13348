"""The file by whose age a health check knows that a loop goes round."""

import os
import time
from pathlib import Path

import pytest

from lastword.process.heartbeat import BEAT_EVERY_S, Heartbeat
from lastword.settings.shared import SettingsError


def test_a_beat_makes_the_file_and_later_ones_renew_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "heartbeat"
    heartbeat = Heartbeat(path)
    assert not path.exists(), "not before the loop goes round"

    heartbeat.beat()
    os.utime(path, (1, 1))
    heartbeat.beat()
    assert path.stat().st_mtime == 1, "not at every turn of the loop"

    now = time.monotonic()
    monkeypatch.setattr("lastword.process.heartbeat.time.monotonic", lambda: now + BEAT_EVERY_S)
    heartbeat.beat()
    assert path.stat().st_mtime > 1


def test_what_an_earlier_run_has_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    path.touch()
    Heartbeat(path)
    assert not path.exists()


def test_a_disk_that_fails_later_stops_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    heartbeat = Heartbeat(directory / "heartbeat")
    directory.rmdir()
    heartbeat.beat()
    assert not directory.exists()


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Heartbeat(None).beat()
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"LASTWORD_HEARTBEAT_FILE: given '.*/missing/file'; .* No such file"):
        Heartbeat(tmp_path / "missing" / "file")
