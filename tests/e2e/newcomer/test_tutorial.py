"""The tutorial's programs, as they stand there, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from servers.process import Child
from tests.flow import Flow
from tests.waiting import wait_until
from tests.worker_helpers import REPOSITORY, celery_worker

PRICES, RELAY, WITHOUT_DATA, ROWS = re.findall(
    r"```python\n(.*?)```", (REPOSITORY / "docs/tutorial.md").read_text(encoding="utf-8"), re.DOTALL
)
WITH_DATA = re.compile(r'DATABASE\.execute\(\s*"INSERT INTO outbox.*?\n        \)', re.DOTALL)


@contextmanager
def relaying(flow: Flow, folder: Path) -> Iterator[None]:
    command, environment = [sys.executable, "relay.py"], {**os.environ, **flow.environment}
    relay = Child(command, directory=folder, log_file=folder / "relay.log", environment=environment)
    try:
        yield
        assert relay.exit_code is None, (folder / "relay.log").read_text(encoding="utf-8")
    finally:
        relay.stop(20)


def set_price(folder: Path, price: str) -> None:
    subprocess.run([sys.executable, "prices.py", "42", price], cwd=folder, check=True, timeout=180)


def price_of(flow: Flow) -> object:
    data = flow.cache.hget(f"{flow.prefix}42", "data")
    return None if data is None else json.loads(bytes(data))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["full states", "notices"])
def test_a_price_arrives(flow: Flow, tmp_path: Path, form: str) -> None:
    prices = PRICES
    if form == "notices":
        prices, replaced = WITH_DATA.subn(WITHOUT_DATA.strip(), prices)
        assert replaced == 1
        (tmp_path / "rows.py").write_text(ROWS, encoding="utf-8")
        flow.environment |= {"LASTWORD_LOADER": "rows:load", "LASTWORD_LOADER_TIMEOUT_S": "1.2"}
    (tmp_path / "prices.py").write_text(prices, encoding="utf-8")
    (tmp_path / "relay.py").write_text(RELAY, encoding="utf-8")
    set_price(tmp_path, "8.90")
    with flow.bridge(), celery_worker(flow.environment, directory=tmp_path), relaying(flow, tmp_path):
        wait_until(lambda: price_of(flow) == {"price": "8.90"}, what="the first price")
        set_price(tmp_path, "9.50")
        wait_until(lambda: price_of(flow) == {"price": "9.50"}, what="the second price")
        flow.wait_until_all_is_committed()
