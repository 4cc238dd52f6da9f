"""What every system measured here can do; one file for each stands beside this one."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

# How long any part may take to come up, and any answer to come.
DEADLINE_SECONDS = 120.0
# How long a call may go on after a fault before it counts as hanging.
FAULT_SECONDS = 60.0
# Processes that run tasks, in every system.
WORKERS = 2


class Surroundings:
    """What the measuring side gives a system: a folder of its own and a fresh Redis."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["PEERS_FOLDER"])
        self.redis_url = os.environ["PEERS_REDIS_URL"]

    def log(self, name: str) -> Path:
        """The file that a part of the system prints to."""
        return self.folder / f"{name}.log"

    def marks(self) -> Path:
        """A file, not there yet, in which functions leave their marks."""
        return self.folder / f"marks-{time.monotonic_ns()}"


class System(ABC):
    """A system that runs functions elsewhere, with `WORKERS` processes to run them in."""

    # Ways to use it that are measured apart; a system with one way has one without a name.
    variants: tuple[str, ...] = ("",)

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings

    @abstractmethod
    def version(self) -> str:
        """The version that was installed."""

    @abstractmethod
    def start(self) -> None:
        """Starts its parts; returns when all workers are there."""

    @abstractmethod
    def batch(self, variant: str, count: int) -> None:
        """Submits so many no-ops; returns when all their results are in this process's hands."""

    @abstractmethod
    def call(self, variant: str) -> None:
        """Submits one no-op; returns with its result."""

    @abstractmethod
    def submit_abort(self, marks: Path) -> Callable[[float], object]:
        """Submits a function that aborts; what it returns waits so many seconds for the result."""

    @abstractmethod
    def submit_sleep(self, marks: Path, seconds: float) -> Callable[[float], object]:
        """Submits a function that sleeps; what it returns waits so many seconds for the result."""

    def runs(self, marks: Path) -> int:
        """How often the function of the latest submission began."""
        return len(read_marks(marks))

    def victim(self, marks: Path) -> int:
        """Waits until the function of the latest submission has begun; the process to kill for it."""
        wait_until(lambda: bool(read_marks(marks)), "the function to begin")
        return read_marks(marks)[-1]

    def stop(self) -> None:
        """Ends its parts where that takes more than to kill them."""


def read_marks(marks: Path) -> list[int]:
    """The processes in which a function began, in order."""
    if not marks.exists():
        return []
    return [int(line) for line in marks.read_text(encoding="ascii").split("\n")[:-1]]


def expect_nothing(value: object) -> None:
    """The value of a no-op: anything else was not measured but went wrong."""
    if value is not None:
        raise ValueError(f"a no-op gave {value!r}")


def installed(package: str) -> str:
    """The version of an installed package."""
    return metadata.version(package)


def wait_until(there: Callable[[], bool], what: str) -> None:
    """Asks every 20 ms, and fails at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {DEADLINE_SECONDS:.0f} s in vain for {what}")
        time.sleep(0.02)
