"""Every process below this one ends with it.

Systems start processes of their own, in sessions of their own, which outlive their parents. So this
process adopts what loses its parent (a child subreaper), and at the end kills whatever is below it.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

# Of prctl(2).
SET_PDEATHSIG = 1
SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)
# How long killed processes may take to be gone.
KILL_SECONDS = 10.0


def adopt_orphans() -> None:
    """Makes this process the parent of descendants that lose theirs."""
    if LIBC.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "failed to become a child subreaper")


def end_with_parent() -> None:
    """For a process that is about to begin: it is asked to end when its parent is killed itself."""
    LIBC.prctl(SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def kill_all_below() -> None:
    """Kills every descendant, and returns when they are reaped."""
    deadline = time.monotonic() + KILL_SECONDS
    while True:
        reap()
        remaining = below()
        if not remaining:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {remaining} do not end")
        for pid in remaining:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)


def reap() -> None:
    """Takes leave of children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def below() -> list[int]:
    """All descendants of this process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found, next_up = [], [os.getpid()]
    while next_up:
        of_one = children.get(next_up.pop(), [])
        found += of_one
        next_up += of_one
    return found


def parent_of(entry: Path) -> int | None:
    """The parent of a process in `/proc`; None when it is gone."""
    try:
        # The name in parentheses may itself have parentheses and spaces.
        return int((entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None
