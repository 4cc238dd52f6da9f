"""One system that stands: its Redis, its driver, and the pipes to it."""

import json
import os
import select
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from measuring import processes
from measuring.options import Options

SYSTEMS = Path(__file__).resolve().parents[1] / "systems"
# How long an answer may take: the longest that a driver waits for one thing, several times.
ANSWER_SECONDS = 600.0
# How long a system may take to end in order before it is killed.
STOP_SECONDS = 20.0
# How long Redis may take to listen.
REDIS_SECONDS = 10.0
# Lines of each log that are shown when a system fails.
SHOWN_LINES = 20


class Failed(Exception):
    """A system did not do what it was asked, with what it said."""


class Session:
    """A context in which one system stands; nothing of it is left after."""

    def __init__(self, name: str, options: Options, interpreter: Path, packages: Path, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.redis_port = free_port()
        # Python's own variables might name other packages than those that are measured.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.environment |= {
            "PATH": f"{interpreter.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(SYSTEMS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "PEERS_FOLDER": str(folder),
            "PEERS_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "PEERS_BULKHEAD": str(options.bulkhead),
            "PEERS_PACKAGES": str(packages),
        }
        self.command = [str(interpreter), str(SYSTEMS / "serve.py"), name]

    def __enter__(self) -> "Session":
        self.folder.mkdir()
        self.start_redis()
        answers, answers_of_driver = os.pipe()
        with open(self.folder / "driver.log", "wb") as log:
            self.driver = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment | {"PEERS_ANSWERS": str(answers_of_driver)},
                pass_fds=[answers_of_driver],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=processes.end_with_parent,
            )
        os.close(answers_of_driver)
        self.answers = answers
        self.unread = b""
        return self

    def start_redis(self) -> None:
        """Starts a Redis without persistence, and returns when it listens."""
        command = ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "no"]
        with open(self.folder / "redis.log", "wb") as log:
            redis = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=processes.end_with_parent,
            )
        deadline = time.monotonic() + REDIS_SECONDS
        while redis.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.redis_port)).close()
                return
            except ConnectionError:
                time.sleep(0.02)
        raise Failed(f"redis-server does not listen\n{self.logs()}")

    def ask(self, what: str, within: float = ANSWER_SECONDS, **parameters: Any) -> dict[str, Any]:
        """Asks the driver for one thing and waits for its answer."""
        assert self.driver.stdin is not None
        try:
            self.driver.stdin.write(json.dumps({"do": what, **parameters}).encode() + b"\n")
            self.driver.stdin.flush()
            answer = json.loads(self.line(time.monotonic() + within))
        except (BrokenPipeError, EOFError, TimeoutError) as error:
            raise Failed(f"{self.name}: {what}: {error or 'its driver ended'}\n{self.logs()}") from error
        if "failed" in answer:
            raise Failed(f"{self.name}: {what}: {answer['failed']}\n{self.logs()}")
        return dict(answer["ok"])

    def line(self, deadline: float) -> bytes:
        """The driver's next line."""
        while b"\n" not in self.unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                raise TimeoutError("no answer in time")
            chunk = os.read(self.answers, 65536)
            if not chunk:
                raise EOFError("its driver ended")
            self.unread += chunk
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def logs(self) -> str:
        """The ends of all that its parts printed."""
        shown = []
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
            shown += [f"{log.name}:", *(f"    {line}" for line in lines)]
        return "\n".join(shown)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.ask("stop", STOP_SECONDS)
            else:
                self.driver.terminate()
                self.driver.wait(STOP_SECONDS)
        except (Failed, subprocess.TimeoutExpired):
            # It has given its figures, or never will: what does not end in order is killed.
            pass
        finally:
            processes.kill_all_below()
            os.close(self.answers)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
