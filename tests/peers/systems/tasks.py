"""The work, the same for every system in Python. Bulkhead has the like of it in sample-functions/."""

import os
import time


def noop() -> None:
    """Does nothing: what is measured is the way here and back."""


def abort(marks: str) -> None:
    """Leaves a mark and ends its process as a failed assertion in C does."""
    leave_mark(marks)
    os.abort()


def sleep(marks: str, seconds: float) -> str:
    """Leaves a mark, waits, and gives a word by which its result is known."""
    leave_mark(marks)
    time.sleep(seconds)
    return "slept"


def leave_mark(marks: str) -> None:
    """Adds the id of this process to a file: that the function began, where, and how often."""
    with open(marks, "a", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
