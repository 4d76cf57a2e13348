from pathlib import Path

import pytest

from servers import mariadb
from servers.errors import ServerError


def test_where_it_is_not_installed_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(mariadb, "SYSTEM_PROGRAMS", tmp_path)
    assert not mariadb.is_installed()
    with pytest.raises(ServerError, match=r"^MariaDB is not installed: .*apt install mariadb-server\)$"):
        mariadb.find_mariadb()


def test_the_server_is_found_beside_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian has it where only root looks."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / mariadb.INSTALL).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(mariadb, "SYSTEM_PROGRAMS", tmp_path)
    program = tmp_path / "mariadbd"
    program.touch(mode=0o755)
    assert mariadb.find_mariadb() == program
