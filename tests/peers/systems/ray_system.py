"""Ray on this machine: a cluster of two CPUs without a dashboard, no Redis."""

from collections.abc import Callable
from pathlib import Path

import ray

import tasks
from system import DEADLINE_SECONDS, WORKERS, System, expect_nothing, installed

# Results are empty; Ray would set a third of the memory aside.
OBJECT_STORE_BYTES = 128 * 1024 * 1024


class RaySystem(System):
    """Remote functions, with Ray's defaults: as many worker processes as CPUs, kept warm."""

    def version(self) -> str:
        return installed("ray")

    def start(self) -> None:
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(self.surroundings.folder),
        )
        self.noop = ray.remote(tasks.noop)

    def batch(self, variant: str, count: int) -> None:
        for value in ray.get([self.noop.remote() for _ in range(count)], timeout=DEADLINE_SECONDS):
            expect_nothing(value)

    def call(self, variant: str) -> None:
        expect_nothing(ray.get(self.noop.remote(), timeout=DEADLINE_SECONDS))

    def submit_abort(self, marks: Path) -> Callable[[float], object]:
        reference = ray.remote(tasks.abort).remote(str(marks))
        return lambda seconds: ray.get(reference, timeout=seconds)

    def submit_sleep(self, marks: Path, seconds: float) -> Callable[[float], object]:
        reference = ray.remote(tasks.sleep).remote(str(marks), seconds)
        return lambda seconds: ray.get(reference, timeout=seconds)

    def stop(self) -> None:
        ray.shutdown()
