"""What has to be there before anything is measured: the peers, and Bulkhead's packages."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from measuring.options import CHECKOUT

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"


class Unprepared(Exception):
    """What is missing, in words for the user."""


def install(python: Path, folder: Path) -> Path:
    """Installs the peers into a virtual environment in a folder, unless they are there; its interpreter."""
    environment = folder / "venv"
    interpreter = environment / "bin" / "python"
    seal = environment / "installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + str(python.resolve()).encode()).hexdigest()
    if seal.exists() and seal.read_text(encoding="ascii") == wanted:
        return interpreter
    print(f"installing the peers into {environment}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    run([str(python), "-m", "venv", "--clear", str(environment)], "make a virtual environment (python3-venv?)")
    run([str(interpreter), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)], "install the peers")
    seal.write_text(wanted, encoding="ascii")
    return interpreter


def installed(interpreter: Path) -> list[str]:
    """Every package that pip chose, with its version."""
    command = [str(interpreter), "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check"]
    return run(command, "list what is installed").split()


def build_packages(bulkhead: Path, folder: Path, with_faults: bool) -> Path:
    """Builds the functions that Bulkhead is measured with; the folder they are in."""
    packages = folder / "packages"
    packages.mkdir()
    for name in ["noop", "faulty", "sleep"] if with_faults else ["noop"]:
        out = packages / f"{name}.bhpkg"
        print(f"building {name}", flush=True)
        run([str(bulkhead), "build", f"sample-functions/{name}", "--out", str(out)], f"build {name}")
    return packages


def require(*programs: str) -> None:
    """Sees that executables are on the path."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise Unprepared(f"{missing[0]} is not on the path")


def run(command: list[str], what: str) -> str:
    """Runs a step in the checkout; what it printed on stdout."""
    ended = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    )
    if ended.returncode != 0:
        raise Unprepared(f"failed to {what}: {' '.join(command)}\n{ended.stdout}{ended.stderr}")
    return ended.stdout
