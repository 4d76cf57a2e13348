"""CPU and memory of the processes of a run, each with its children."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import psutil

SAMPLE_EVERY_S = 0.5
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Usage:
    """What one process and its children used: seconds of CPU while the clock ran, the largest memory seen in MiB."""

    cpu_s: float
    memory_mib: float


class Meter:
    """Measures while the block lasts; ``usage`` afterwards.

    Memory is the proportional set size, in which pages that forked processes share count once; where the system does
    not tell it, the resident size, in which they count for each.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._cpu: dict[str, float] = {}
        self._memory: dict[str, float] = dict.fromkeys(pids, 0.0)
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self.seconds = 0.0
        self.usage: dict[str, Usage] = {}

    def __enter__(self) -> Self:
        self._cpu = {name: _cpu_s(root) for name, root in self._roots.items()}
        self._sampler.start()
        self._begin = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._begin
        spent = {name: _cpu_s(root) - self._cpu[name] for name, root in self._roots.items()}
        self._ended.set()
        self._sampler.join()
        self._look()
        self.usage = {name: Usage(spent[name], self._memory[name]) for name in self._roots}

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            self._look()

    def _look(self) -> None:
        for name, root in self._roots.items():
            self._memory[name] = max(self._memory[name], sum(_memory_mib(one) for one in _tree(root)))


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(root: psutil.Process) -> float:
    total = 0.0
    for one in _tree(root):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _memory_mib(process: psutil.Process) -> float:
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0.0
    return float(getattr(memory, "pss", memory.rss)) / MEBIBYTE
