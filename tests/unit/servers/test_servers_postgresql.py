from pathlib import Path

import pytest

from servers import postgresql
from servers.errors import ServerError


def test_where_it_is_not_installed_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(postgresql, "PACKAGES", tmp_path)
    assert not postgresql.is_installed()
    with pytest.raises(ServerError, match=r"^PostgreSQL is not installed: .*apt install postgresql\)$"):
        postgresql.find_postgresql()


def test_of_several_versions_the_last_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(postgresql, "PACKAGES", tmp_path)
    for version in ("9.6", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "initdb").touch()
    (tmp_path / "17" / "bin" / "initdb").unlink()  # what only clients need
    assert postgresql.find_postgresql() == tmp_path / "15" / "bin"
