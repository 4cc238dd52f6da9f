"""One system, driven over pipes: a JSON document per line in, one out for each. Started by `measuring`."""

import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any, TextIO

import measures
from system import Surroundings, System

# Where each system is, by the name that it has for users.
SYSTEMS = {
    "bulkhead-pull": ("bulkhead_system", "PullSystem"),
    "bulkhead-push": ("bulkhead_system", "PushSystem"),
    "celery": ("celery_system", "CelerySystem"),
    "rq": ("rq_system", "RqSystem"),
    "parsl": ("parsl_system", "ParslSystem"),
    "ray": ("ray_system", "RaySystem"),
}


def answer(system: System, request: dict[str, Any]) -> dict[str, Any]:
    """Does what is asked."""
    match request["do"]:
        case "start":
            system.start()
            return {"version": system.version(), "variants": list(system.variants)}
        case "throughput":
            return measures.throughput(system, request["variant"], request["seconds"])
        case "in_a_row":
            return measures.in_a_row(system, request["variant"], request["seconds"])
        case "after_quiet":
            return measures.after_quiet(system, request["variant"], request["calls"])
        case "abort":
            return measures.abort(system)
        case "kill":
            return measures.kill(system)
        case "stop":
            system.stop()
            return {}
        case other:
            raise ValueError(f"{other!r} is nothing that can be asked")


def serve(system: System, answers: TextIO) -> bool:
    """Answers until it is asked to stop, or the pipe is closed; whether it has stopped the system."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply: dict[str, Any] = {"ok": answer(system, request)}
        except Exception:  # noqa: BLE001 - told to the measuring side, which ends the system
            reply = {"failed": traceback.format_exc()}
        print(json.dumps(reply), file=answers, flush=True)
        if request["do"] == "stop":
            return True
    return False


def main() -> None:
    """Serves one system; ends it in order also when the measuring side is interrupted or killed."""
    module, name = SYSTEMS[sys.argv[1]]
    system: System = getattr(importlib.import_module(module), name)(Surroundings())
    stopped = False
    try:
        # Ray sets a handler of its own, which does the same.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        with os.fdopen(int(os.environ["PEERS_ANSWERS"]), "w", encoding="utf-8") as answers:
            stopped = serve(system, answers)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not stopped:
            system.stop()
        # What a system started and does not end itself is in this process's group.
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
