"""``make shop``: a shop that changes its database, and a page on which one sees Redis follow; Ctrl-C stops all of it.

Where the environment names servers (KAFKA_BOOTSTRAP_SERVERS, ZOOKEEPER_HOSTS, REDIS_URL, CELERY_BROKER_URL), they are
used instead of servers started here. SHOP_DATABASE names another database than an SQLite file that is gone in the end,
SHOP_PORT another port than 8000; SHOP_NOTICES=1: changes come as notices, and workers load the rows.
"""

import os
import signal
import socket
import tempfile
import time
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import redis
import uvicorn
from confluent_kafka import KafkaException
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from examples.names import ROOT, Names, remove, write_celery_settings
from examples.shop.buttons import Buttons
from examples.shop.catalog import Catalog
from examples.shop.crew import Crew
from examples.shop.service import create_service
from examples.shop.tables import absolute, open_database
from examples.shop.view import View
from lastword import Publisher
from lastword.process import interrupt
from lastword.settings.bridge import BridgeSettings, kafka_properties
from lastword.settings.shared import SettingsError, load
from servers import Addresses, ServerError, running_servers
from servers.ports import is_free

PORT: Final = 8_000
HOST: Final = "127.0.0.1"
READY_S: Final = 60.0
GOODS: Final = ("Tea towel", "Mug", "Teapot", "Apron", "Candle", "Cushion", "Lamp", "Vase", "Bowl", "Tray")
COLOURS: Final = ("white", "blue", "green", "red")

console = Console()


class ShopError(Exception):
    """Something that the shop needs is not there."""


def main() -> int:
    """Run the shop until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="lastword-shop-") as directory:
            run(Path(directory))
    except KeyboardInterrupt:
        console.print("\nstopped")
    except (ShopError, SettingsError, ServerError, KafkaException, redis.RedisError, SQLAlchemyError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    return 0


def run(directory: Path) -> None:
    """Start everything, serve the page, and stop everything."""
    port, database = _free_port(), _database()
    with ExitStack() as stack:
        with console.status("Starting Kafka, ZooKeeper and Redis (the first time, their programs are fetched)"):
            addresses, own = stack.enter_context(running_servers(directory / "servers", os.environ))
        names = Names() if own else Names.fresh("lastword-shop")
        if not own:
            stack.callback(remove, names, addresses)
        os.environ["SHOP_DATABASE"] = database or f"sqlite:///{directory / 'shop.db'}"
        os.environ["FLOWER_PORT"] = str(port + 1)
        notices = os.environ.get("SHOP_NOTICES", "") not in {"", "0"}
        if notices:
            os.environ["LASTWORD_LOADER"] = "examples.shop.rows:load"
        os.environ.update(addresses.environment | names.environment)
        write_celery_settings(directory, task_default_queue=names.queue)
        catalog = Catalog(open_database(os.environ["SHOP_DATABASE"]), notices=notices)
        _stock_up(catalog)
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        crew = stack.enter_context(Crew(directory, os.environ | {"PYTHONPATH": path}))
        with console.status("Starting the workers and the bridge"):
            _wait_until_ready(crew)
        _serve(
            stack=stack,
            catalog=catalog,
            crew=crew,
            addresses=addresses,
            names=names,
            port=port,
            own=own is not None,
        )


def _serve(
    *, stack: ExitStack, catalog: Catalog, crew: Crew, addresses: Addresses, names: Names, port: int, own: bool
) -> None:
    # What these import reads the broker's address from the environment.
    from examples.up import login  # noqa: PLC0415
    from tasks import app as celery  # noqa: PLC0415

    publisher = stack.enter_context(Publisher(kafka_properties(load(BridgeSettings)), names.topic))
    flower = f"http://{HOST}:{os.environ['FLOWER_PORT']}/"
    view = View(catalog, addresses, names, celery, crew, flower=flower, may_wipe=own)
    stack.callback(view.close)
    buttons = Buttons(catalog, publisher, crew, partial(_wipe, addresses.broker_url) if own else None)
    service = create_service(catalog, view, buttons.router())
    config = uvicorn.Config(service, host=HOST, port=port, log_level="warning", timeout_graceful_shutdown=1)
    said = (
        f"The shop is open: [bold]http://{HOST}:{port}/[/]\n"
        f"  Flower   {flower}, {login()}\n"
        f"  its API  http://{HOST}:{port}/docs\n"
        "Ctrl-C stops all of it."
    )
    try:
        _Server(config, said).run()
    finally:
        console.print("\nstopping")
        # What was begun comes to its end: a second Ctrl-C would leave some of it behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


class _Server(uvicorn.Server):
    """Says so when it is open; ends the pages' streams of events, which would go on for ever, when it is to end."""

    def __init__(self, config: uvicorn.Config, said: str) -> None:
        super().__init__(config)
        self._said = said

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn has it."""
        await super().startup(sockets)
        console.print(self._said, soft_wrap=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn has it."""
        self.config.app.state.closing = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def _wipe(broker_url: str) -> None:
    with redis.Redis.from_url(broker_url, socket_timeout=2, socket_connect_timeout=2) as broker:
        broker.flushdb()


def _stock_up(catalog: Catalog) -> None:
    """Put some products into an empty database; tell of those that are there to servers which may be new."""
    if catalog.tell_all() == 0:
        for number, (goods, colour) in enumerate((goods, colour) for goods in GOODS for colour in COLOURS):
            catalog.create(f"{goods}, {colour}", Decimal(500 + 37 * number).scaleb(-2), 10 * number)


def _wait_until_ready(crew: Crew) -> None:
    end = time.monotonic() + READY_S
    while not crew.ready():
        if time.monotonic() > end:
            logs = "\n".join(f"{name}: {crew.log(name)[-800:]}" for name in ("worker 1", "worker 2", "bridge"))
            raise ShopError(f"the workers and the bridge are not ready after {READY_S:g} s\n{logs}")
        time.sleep(0.1)


def _free_port() -> int:
    given = os.environ.get("SHOP_PORT", str(PORT))
    if not given.isdecimal() or not 0 < int(given) < 65_535:
        raise ShopError(f"SHOP_PORT: given {given!r}; allowed is a port, 1 to 65534")
    for one in (int(given), int(given) + 1):  # the second is Flower's
        if not is_free(one):
            raise ShopError(f"port {one} cannot be used, somebody listens on it; SHOP_PORT names another")
    return int(given)


def _database() -> str | None:
    given = os.environ.get("SHOP_DATABASE")
    try:
        return absolute(given) if given else None
    except (ValueError, SQLAlchemyError) as error:
        raise ShopError(f"SHOP_DATABASE: {error}") from error


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    interrupt.run(main)
