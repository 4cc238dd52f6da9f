"""One system, driven over pipes: a JSON document per line in, one out for each. Started by `measuring`."""

import importlib
import json
import os
import sys
import traceback
from typing import Any

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


def main() -> None:
    """Answers until the pipe is closed: the measuring side has what it wants, or is no more."""
    module, name = SYSTEMS[sys.argv[1]]
    system: System = getattr(importlib.import_module(module), name)(Surroundings())
    answers = os.fdopen(int(os.environ["PEERS_ANSWERS"]), "w", encoding="utf-8")
    asked_to_stop = False
    for line in sys.stdin:
        request = json.loads(line)
        asked_to_stop = asked_to_stop or request["do"] == "stop"
        try:
            reply = {"ok": answer(system, request)}
        except Exception:  # noqa: BLE001 - told to the measuring side, which ends the system
            reply = {"failed": traceback.format_exc()}
        try:
            print(json.dumps(reply), file=answers, flush=True)
        except BrokenPipeError:
            break
    if not asked_to_stop:
        system.stop()


if __name__ == "__main__":
    main()
