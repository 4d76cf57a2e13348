"""The servers and processes of a run, and what may happen to them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

import redis

from servers import Kafka, KafkaCluster, Redis, ZooKeeper, ZooKeeperEnsemble
from servers.group import Group
from servers.server import Server
from tests.blackhole import BlackHoleProxy
from tests.history.recorded_flow import RecordedFlow
from tests.soak.processes import BridgeProcess, Process, WorkerProcess
from tests.soak.schedule import Fault

THREADS: Final = ("-P", "threads", "-c", "4")
PREFORK: Final = ("-P", "processes", "-c", "2")
SETTINGS: Final = {
    # Servers go away just when a process starts: it waits for them instead of ending.
    "LASTWORD_STARTUP_DEADLINE_S": "60",
    "LASTWORD_SHUTDOWN_DEADLINE_S": "5",
    # What comes in a burst shares tasks, the rest does not.
    "LASTWORD_UPDATES_PER_TASK": "4",
}


class Target(Protocol):
    """What servers and processes have in common."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class World:
    """Everything that runs. ``targets``: servers and processes by the names that the schedule has for them."""

    def __init__(
        self,
        flow: RecordedFlow,
        servers: Mapping[str, Server],
        processes: Mapping[str, Process],
        proxies: list[BlackHoleProxy],
    ) -> None:
        self.flow = flow
        self.servers = servers
        self.processes = processes
        self._proxies = proxies
        self._targets: Mapping[str, Target] = {**servers, **processes}

    def begin(self, fault: Fault) -> None:
        """Let the fault strike."""
        match fault.what:
            case "kill" | "stop" | "pause":
                getattr(self._targets[fault.target], fault.what)()
            case "wipe":
                if fault.target != "broker":
                    self.flow.harvest()
                (self.flow.broker if fault.target == "broker" else self.flow.cache).flushall()
            case "forget the scripts of":
                self.flow.cache.script_flush()
            case "cut off":
                self._each_proxy(BlackHoleProxy.swallow_all)
            case "drop the answers to":
                self._each_proxy(BlackHoleProxy.swallow_replies)
            case "take the quorum from":
                for member in self._minority_gone():
                    member.kill()
            case other:
                raise AssertionError(f"nobody knows how to {other}")

    def end(self, fault: Fault) -> None:
        """Let it be over: what was killed starts again."""
        match fault.what:
            case "kill" | "stop":
                self._targets[fault.target].start()
            case "pause":
                self._targets[fault.target].resume()
            case "cut off" | "drop the answers to":
                self._each_proxy(BlackHoleProxy.heal)
            case "take the quorum from":
                for member in self._minority_gone():
                    member.launch()
                for member in self._minority_gone():
                    member.wait_ready()

    def _each_proxy(self, act: Callable[[BlackHoleProxy], None]) -> None:
        for proxy in self._proxies:
            act(proxy)

    def _minority_gone(self) -> list[Server]:
        return [server for name, server in self.servers.items() if name.startswith("zookeeper")][:2]


@contextmanager
def open_world(directory: Path, *, nodes: int) -> Iterator[World]:
    """Start everything, on one ZooKeeper and one Kafka or on three of each; all is gone on exit."""
    with ExitStack() as stack:
        zookeeper: ZooKeeper | ZooKeeperEnsemble
        kafka: Kafka | KafkaCluster
        if nodes == 1:
            zookeeper, kafka = ZooKeeper(directory / "zookeeper"), Kafka(directory / "kafka")
        else:
            zookeeper, kafka = ZooKeeperEnsemble(directory), KafkaCluster(directory)
        # What it has confirmed survives a kill. The broker forgets everything.
        cache = Redis(directory / "redis", options={"appendonly": "yes"})
        broker = Redis(directory / "broker", options={"save": ""})
        for server in (zookeeper, kafka, cache, broker):
            stack.enter_context(server)
        flow = RecordedFlow(
            (kafka, cache, zookeeper), directory, topic="soak", group="soak", root="/soak", prefix="product:"
        )
        stack.callback(flow.close)
        flow.broker.close()
        flow.environment |= SETTINGS | {"CELERY_BROKER_URL": broker.url()}
        flow.broker = redis.Redis.from_url(broker.url())
        proxies = [stack.enter_context(BlackHoleProxy(address)) for address in zookeeper.address.split(",")]
        processes = _processes(flow, directory, ",".join(proxy.address for proxy in proxies))
        for process in processes.values():
            stack.callback(_end, process)
            process.start()
        servers = {**_named("zookeeper", zookeeper), **_named("kafka", kafka), "redis": cache, "broker": broker}
        for process in processes.values():
            process.wait_ready()
        yield World(flow, servers, processes, proxies)


def _processes(flow: RecordedFlow, directory: Path, proxied: str) -> dict[str, Process]:
    environment = flow.environment
    through_proxies = environment | {"ZOOKEEPER_HOSTS": proxied}
    everybody = [
        BridgeProcess("bridge-1", environment, directory),
        BridgeProcess("bridge-2", environment, directory),
        WorkerProcess("worker-1", environment, directory),
        WorkerProcess("worker-2", through_proxies, directory, *THREADS),
        WorkerProcess("worker-3", environment, directory, *PREFORK),
    ]
    return {process.name: process for process in everybody}


def _named(name: str, server: Server | Group) -> dict[str, Server]:
    if isinstance(server, Group):
        return {f"{name}-{number}": member for number, member in enumerate(server, 1)}
    return {name: server}


def _end(process: Process) -> None:
    if process.wanted:
        with contextlib.suppress(ProcessLookupError):
            process.resume()
        process.stop()
