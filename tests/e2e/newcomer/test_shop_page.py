"""``make shop`` as its user sees it: the page in a real browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from servers.ports import free_port
from servers.process import Child
from tests.programs import CHROMIUM
from tests.waiting import wait_until
from tests.worker_helpers import REPOSITORY

pytestmark = CHROMIUM.mark

FRESH_MS = 60_000


class Shop(NamedTuple):
    address: str
    port: int
    pid: int


def is_open(child: Child, log: Path) -> bool:
    said = log.read_text(encoding="utf-8")
    assert child.exit_code is None, said
    return "The shop is open" in said


@pytest.fixture(scope="module", params=["full states", "notices"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop that is open."""
    directory = tmp_path_factory.mktemp("shop")
    port = free_port(with_second=1)
    environment = {
        **os.environ,
        "SHOP_PORT": str(port),
        "HOME": str(directory),
        "SHOP_NOTICES": "1" if request.param == "notices" else "",
    }
    log = directory / "shop.log"
    child = Child([sys.executable, "-m", "examples.shop"], directory=REPOSITORY, log_file=log, environment=environment)
    try:
        wait_until(lambda: is_open(child, log), what="the shop")
        yield Shop(f"http://127.0.0.1:{port}/", port, child.pid)
        children = psutil.Process(child.pid).children(recursive=True)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/events") as events:
            assert events.readline().startswith(b"data: ")
            child.send(signal.SIGINT)
            wait_until(lambda: child.exit_code is not None, what="the shop's end")
        wait_until(lambda: not any(one.is_running() for one in children), what="the end of all that it started")
        assert child.exit_code == 0, log.read_text(encoding="utf-8")
        assert "Traceback" not in log.read_text(encoding="utf-8")
    finally:
        child.stop(5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    """The page, opened, with products in both columns; in the end nothing was wrong in its console."""
    wrong: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            wrong.append(message.text)

    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("console", note)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(shop.address)
    expect(page.locator("#fresh")).to_have_text("All 40 products are fresh", timeout=FRESH_MS)
    yield page
    page.close()
    assert wrong == []


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def expect_fresh(page: Page) -> None:
    expect(page.locator("#fresh")).to_have_text("All 40 products are fresh", timeout=FRESH_MS)


def total(page: Page) -> int:
    return sum(int(number) for number in re.findall(r"\d+", page.locator("#outcomes").inner_text()))


def test_a_change_arrives(page: Page) -> None:
    press(page, "Change one")
    said = page.locator("#said")
    expect(said).to_contain_text("is changed.", timeout=120_000)
    [number] = re.findall(r"\d+", said.inner_text())
    row = page.locator(f"tr[data-product='{number}'] td")
    expect(row.nth(5)).not_to_have_text("1", timeout=120_000)
    expect_fresh(page)
    assert row.nth(1).inner_text() == row.nth(4).inner_text()
    assert row.nth(2).inner_text() == row.nth(5).inner_text()
    touched = page.locator("#touched")
    for side in ("database", "Redis"):
        expect(touched).to_contain_text(
            f"{side}: {row.nth(1).inner_text()}, version {row.nth(2).inner_text()}.", timeout=120_000
        )


def test_a_burst_ends_fresh_and_the_chart_moves(page: Page) -> None:
    # Nothing has happened for longer than the last point is of: there is none at the right edge.
    line = page.locator("#line-p50")
    expect(page.locator("#p50")).to_have_text("\N{EN DASH}", timeout=120_000)
    press(page, "1,000 changes of one product")
    expect(page.locator("#said")).to_contain_text("is changed 1,000 times.", timeout=120_000)
    expect_fresh(page)
    expect(page.locator("#p50")).to_contain_text("s", timeout=120_000)
    expect(line).to_have_attribute("points", re.compile(r"5[789]\d\.\d,[\d.]+$"), timeout=120_000)
    press(page, "5,000 changes of all")
    expect(page.locator("#said")).to_contain_text("5,000 changes of 40 products are committed.", timeout=120_000)
    expect_fresh(page)
    assert total(page) > 0


def test_a_record_that_is_none_is_seen_with_its_reason(page: Page) -> None:
    press(page, "Publish a record that is none")
    expect(page.locator("#letters")).to_contain_text("updated_at is missing", timeout=120_000)


def test_it_stays_right_while_workers_are_paused_and_killed_and_the_broker_is_wiped(page: Page) -> None:
    press(page, "Pause worker 1")
    expect(page.locator("#processes")).to_contain_text("worker 1: paused")
    press(page, "5,000 changes of all")
    press(page, "Kill worker 2")
    press(page, "Wipe the Celery broker")
    press(page, "Resume worker 1")
    expect(page.locator("#processes")).to_contain_text("worker 1: runs")
    expect(page.locator("#said")).to_contain_text("5,000 changes of 40 products are committed.", timeout=120_000)
    expect_fresh(page)


def test_on_a_phone_in_the_dark_and_by_keyboard(page: Page) -> None:
    page.set_viewport_size({"width": 375, "height": 700})
    page.emulate_media(color_scheme="dark")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 375, "nothing has to be scrolled sideways"
    red, green, blue = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert max(int(red), int(green), int(blue)) < 60
    page.get_by_role("button", name="Change one", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("is changed.", timeout=120_000)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "1,000 changes of one product"
    expect_fresh(page)


def test_flower_is_a_link_away(page: Page, shop: Shop) -> None:
    address = f"http://127.0.0.1:{shop.port + 1}/"
    expect(page.locator("#flower")).to_have_attribute("href", address, timeout=120_000)


def test_a_port_that_is_taken_is_named(shop: Shop) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "examples.shop"],
        cwd=REPOSITORY,
        env={**os.environ, "SHOP_PORT": str(shop.port)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert f"port {shop.port} cannot be used" in ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("part", "word"), [("Redis", "valkey"), ("Kafka", "kafka.Kafka")])
def test_each_part_that_is_away_is_named_and_the_page_goes_on(page: Page, shop: Shop, part: str, word: str) -> None:
    children = psutil.Process(shop.pid).children(recursive=True)
    [server] = [child for child in children if any(word in argument for argument in child.cmdline())]
    server.suspend()
    try:
        expect(page.locator("#trouble")).to_contain_text(f"{part} does not answer", timeout=120_000)
    finally:
        server.resume()
    expect(page.locator("#trouble")).to_be_hidden(timeout=120_000)
    press(page, "Change one")
    expect_fresh(page)
