"""Parsl with its HighThroughputExecutor on this machine: one block of two workers, no Redis."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

import tasks
from system import DEADLINE_SECONDS, WORKERS, System, expect_nothing, installed, wait_until


class ParslSystem(System):
    """Measured as its users call it (an app), and with functions given to the executor at once."""

    variants = ("app", "executor")

    def version(self) -> str:
        return installed("parsl")

    def start(self) -> None:
        provider = LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
        self.executor = HighThroughputExecutor(
            label="htex", address="127.0.0.1", max_workers_per_node=WORKERS, provider=provider
        )
        parsl.load(
            Config(executors=[self.executor], run_dir=str(self.surroundings.folder / "runinfo"), strategy="none")
        )
        self.noop = parsl.python_app(tasks.noop)
        wait_until(lambda: self.workers() == WORKERS, "the workers")

    def workers(self) -> int:
        """How many workers have joined."""
        return sum(int(manager["worker_count"]) for manager in self.executor.connected_managers())

    def submit(self, variant: str) -> "Future[Any]":
        return self.noop() if variant == "app" else self.executor.submit(tasks.noop, {})

    def batch(self, variant: str, count: int) -> None:
        futures = [self.submit(variant) for _ in range(count)]
        for future in futures:
            expect_nothing(future.result(timeout=DEADLINE_SECONDS))

    def call(self, variant: str) -> None:
        expect_nothing(self.submit(variant).result(timeout=DEADLINE_SECONDS))

    def submit_abort(self, marks: Path) -> Callable[[float], object]:
        future = parsl.python_app(tasks.abort)(str(marks))
        return lambda seconds: future.result(timeout=seconds)

    def submit_sleep(self, marks: Path, seconds: float) -> Callable[[float], object]:
        future = parsl.python_app(tasks.sleep)(str(marks), seconds)
        return lambda seconds: future.result(timeout=seconds)

    def stop(self) -> None:
        parsl.dfk().cleanup()
        parsl.clear()
