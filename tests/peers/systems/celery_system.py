"""Celery with Redis as broker and result backend: one prefork worker of two processes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from celery import Celery

import tasks
from system import DEADLINE_SECONDS, WORKERS, System, expect_nothing, installed, wait_until

app = Celery("peers", broker=os.environ["PEERS_REDIS_URL"], backend=os.environ["PEERS_REDIS_URL"])
noop = app.task(name="noop")(tasks.noop)
abort = app.task(name="abort")(tasks.abort)
sleep = app.task(name="sleep")(tasks.sleep)


class CelerySystem(System):
    """`celery worker`, as its documentation starts it."""

    def version(self) -> str:
        return installed("celery")

    def start(self) -> None:
        command = [sys.executable, "-m", "celery", "-A", "celery_system", "worker"]
        command += ["--pool", "prefork", "--concurrency", str(WORKERS), "--loglevel", "WARNING"]
        with open(self.surroundings.log("worker"), "wb") as log:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: bool(app.control.ping(timeout=0.5)), "the worker")

    def batch(self, variant: str, count: int) -> None:
        results = [noop.delay() for _ in range(count)]
        for result in results:
            expect_nothing(result.get(timeout=DEADLINE_SECONDS))

    def call(self, variant: str) -> None:
        expect_nothing(noop.delay().get(timeout=DEADLINE_SECONDS))

    def submit_abort(self, marks: Path) -> Callable[[float], object]:
        result = abort.delay(str(marks))
        return lambda seconds: result.get(timeout=seconds)

    def submit_sleep(self, marks: Path, seconds: float) -> Callable[[float], object]:
        result = sleep.delay(str(marks), seconds)
        return lambda seconds: result.get(timeout=seconds)
