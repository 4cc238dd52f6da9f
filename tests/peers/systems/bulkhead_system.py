"""Bulkhead with Redis: a gateway, a dispatcher and two workers of one slot, in pull or push mode."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from http_connection import Connection, pipeline, request
from system import DEADLINE_SECONDS, WORKERS, System, wait_until

# The server's default bound on the tasks of one batch (`gateway.batch_tasks`).
BATCH_TASKS = 10_000
# Connections over which results are asked for: as many as `bulkhead invoke --batch` has.
CONNECTIONS = 32
# How long one request waits for a result; the server's own bound is longer.
WAIT = "30s"
TASK_ID = re.compile(rb'"task_id":"([0-9a-f-]{36})"')


class BulkheadSystem(System):
    """Driven over HTTP, as its users do."""

    variants = ("reuse", "fresh")
    functions = {"reuse": "noop_reuse", "fresh": "noop"}
    mode: str

    def version(self) -> str:
        shown = subprocess.run([executable(), "--version"], capture_output=True, text=True, check=True)
        return shown.stdout.split()[-1]

    def start(self) -> None:
        self.port, dispatcher_port = free_port(), free_port()
        self.parts: dict[str, subprocess.Popen[bytes]] = {}
        self.spawn("gateway", ["gateway", "--port", str(self.port)])
        self.spawn("dispatcher", ["dispatcher", "--mode", self.mode, "--dispatcher-port", str(dispatcher_port)])
        for number in range(WORKERS):
            name = f"worker-{number}"
            command = ["worker", self.mode, "1", f"tcp://127.0.0.1:{dispatcher_port}", "--name", name]
            self.spawn(name, command)
        wait_until(self.is_ready, "the gateway")
        self.connections = [Connection(self.port, DEADLINE_SECONDS) for _ in range(CONNECTIONS)]
        wait_until(lambda: len(self.get("/v1/workers")["workers"]) == WORKERS, "the workers")
        for package in sorted(Path(os.environ["PEERS_PACKAGES"]).glob("*.bhpkg")):
            self.register(package)

    def spawn(self, name: str, arguments: list[str]) -> None:
        """Starts a part with a folder of its own."""
        command = [executable(), *arguments, "--data", str(self.surroundings.folder / name)]
        environment = dict(os.environ, BULKHEAD_REDIS=self.surroundings.redis_url)
        with open(self.surroundings.log(name), "wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.parts[name] = process

    def is_ready(self) -> bool:
        """Whether the gateway serves and has its Redis."""
        try:
            connection = Connection(self.port, DEADLINE_SECONDS)
        except ConnectionError:
            return False
        try:
            return connection.exchange(request("GET", "/readyz"))[0] == 200
        finally:
            connection.close()

    def exchange(self, sent: bytes) -> bytes:
        """One exchange over the first connection; the body of an answer that says yes."""
        status, body = self.connections[0].exchange(sent)
        if not 200 <= status < 300:
            raise RuntimeError(f"the server answered {status}: {body.decode(errors='replace')}")
        return body

    def get(self, path: str) -> Any:
        """A document of the server."""
        return json.loads(self.exchange(request("GET", path)))

    def register(self, package: Path) -> None:
        """Registers all functions of a package."""
        self.exchange(request("POST", "/v1/functions", package.read_bytes(), "application/octet-stream"))

    def batch(self, variant: str, count: int) -> None:
        line = json.dumps({"function": self.functions[variant], "args": {}}).encode() + b"\n"
        tasks: list[bytes] = []
        for first in range(0, count, BATCH_TASKS):
            body = line * min(BATCH_TASKS, count - first)
            tasks += TASK_ID.findall(self.exchange(request("POST", "/v1/tasks:batch", body, "application/x-ndjson")))
        if len(tasks) != count:
            raise RuntimeError(f"{len(tasks)} of {count} tasks were taken")
        asked = [request("GET", f"/v1/tasks/{task.decode()}/result?wait={WAIT}") for task in tasks]
        completed = 0
        for status, body in pipeline(self.connections, asked, DEADLINE_SECONDS):
            if status != 200 or b'"status":"COMPLETED"' not in body:
                raise RuntimeError(f"a no-op ended with {status}: {body.decode(errors='replace')}")
            completed += 1
        if completed != count:
            raise RuntimeError(f"{completed} of {count} tasks have a result")

    def call(self, variant: str) -> None:
        self.exchange(request("POST", f"/v1/functions/{self.functions[variant]}/invoke"))

    def submit(self, function: str, arguments: dict[str, Any]) -> Callable[[float], object]:
        """Submits a task whose end can be waited for."""
        body = json.dumps({"function": function, "args": arguments}).encode()
        self.task: str = json.loads(self.exchange(request("POST", "/v1/tasks", body)))["task_id"]
        return self.wait

    def wait(self, seconds: float) -> object:
        """The value of the latest submission, or its outcome raised."""
        answer = self.get(f"/v1/tasks/{self.task}/result?wait={seconds:.0f}s")
        if answer["status"] == "COMPLETED":
            return answer["result"]
        outcome = answer["outcome"] or {"kind": answer["status"]}
        raise RuntimeError(" ".join(str(outcome[word]) for word in ["kind", "signal"] if word in outcome))

    def submit_abort(self, marks: Path) -> Callable[[float], object]:
        return self.submit("abort", {})

    def submit_sleep(self, marks: Path, seconds: float) -> Callable[[float], object]:
        return self.submit("sleep", {"milliseconds": int(1000 * seconds)})

    def runs(self, marks: Path) -> int:
        return int(self.get(f"/v1/tasks/{self.task}")["attempt"])

    def victim(self, marks: Path) -> int:
        """The whole worker, with all its sandboxes: more than is killed of the others."""
        wait_until(lambda: self.get(f"/v1/tasks/{self.task}")["status"] == "RUNNING", "the function to begin")
        worker_id = self.get(f"/v1/tasks/{self.task}")["worker_id"]
        workers = self.get("/v1/workers")["workers"]
        return next(self.parts[worker["name"]].pid for worker in workers if worker["worker_id"] == worker_id)

    def stop(self) -> None:
        """Lets the parts end in order, workers first: they take their control groups along."""
        for part in reversed(self.parts.values()):
            part.terminate()
            part.wait(DEADLINE_SECONDS)


class PullSystem(BulkheadSystem):
    """Workers ask for tasks."""

    mode = "pull"


class PushSystem(BulkheadSystem):
    """Workers are sent tasks."""

    mode = "push"


def executable() -> str:
    """The `bulkhead` that is measured."""
    return os.environ["PEERS_BULKHEAD"]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
