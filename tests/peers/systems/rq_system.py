"""RQ with Redis: two workers, each of which forks for every job."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import redis
from rq import Queue, Worker
from rq.job import Job
from rq.results import Result

import tasks
from system import DEADLINE_SECONDS, WORKERS, System, expect_nothing, installed, wait_until


class RqSystem(System):
    """`rq worker`, twice; results are waited for with a blocking read of the job's stream."""

    def version(self) -> str:
        return installed("rq")

    def start(self) -> None:
        self.redis = redis.Redis.from_url(self.surroundings.redis_url)
        self.queue = Queue(connection=self.redis)
        for number in range(WORKERS):
            command = [sys.executable, "-m", "rq.cli", "worker", "--url", self.surroundings.redis_url]
            command += ["--logging_level", "WARNING"]
            with open(self.surroundings.log(f"worker-{number}"), "wb") as log:
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: Worker.count(connection=self.redis) == WORKERS, "the workers")

    def batch(self, variant: str, count: int) -> None:
        jobs = self.queue.enqueue_many([Queue.prepare_data(tasks.noop) for _ in range(count)])
        for job in jobs:
            expect_nothing(value_of(job, DEADLINE_SECONDS))

    def call(self, variant: str) -> None:
        expect_nothing(value_of(self.queue.enqueue(tasks.noop), DEADLINE_SECONDS))

    def submit_abort(self, marks: Path) -> Callable[[float], object]:
        job = self.queue.enqueue(tasks.abort, str(marks))
        return lambda seconds: value_of(job, seconds)

    def submit_sleep(self, marks: Path, seconds: float) -> Callable[[float], object]:
        job = self.queue.enqueue(tasks.sleep, str(marks), seconds)
        return lambda seconds: value_of(job, seconds)


def value_of(job: Job, seconds: float) -> object:
    """Waits for a job's end; its value, or its failure raised."""
    result = job.latest_result(timeout=max(1, int(seconds)))
    if result is None:
        raise TimeoutError(f"no result of {job.id}")
    if result.type is not Result.Type.SUCCESSFUL:
        raise RuntimeError((result.exc_string or result.type.name).strip())
    return result.return_value
