"""The tables: what each system did, and how many times as much Bulkhead did in the same round."""

import statistics
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
# Goals of throughput: how many times as many tasks as each peer.
GOALS = {"celery": 20, "rq": 50, "parsl": 8, "ray": 8}


def speed(rows: list[Row]) -> str:
    """The tables of a run that measured speed."""
    names = in_order(rows)
    bulkhead = [name for name in names if name[0].startswith("bulkhead")]
    peers = [name for name in names if name not in bulkhead]
    parts = [
        "No-ops, two workers: median (least–most) over the rounds",
        table(
            ["system", "version", "batch, tasks/s", "in a row, p50 ms", "p99 ms", "after quiet, p50 ms", "client"],
            [figures(name, of(rows, name)) for name in names],
        ),
    ]
    for title, figure, better in [
        ("Throughput of Bulkhead: times that of the peer in the same round", per_second, divide),
        ("Latency in a row: p50 of the peer, times that of Bulkhead in the same round", p50, divide_other_way),
        ("Latency after quiet: p50 of the peer, times that of Bulkhead in the same round", p50_quiet, divide_other_way),
    ]:
        if peers:
            with_goals = figure is per_second
            head = ["peer", *(shown(name) for name in bulkhead), *(["goal"] if with_goals else [])]
            lines = [
                [
                    shown(peer),
                    *(ratios(of(rows, ours), of(rows, peer), figure, better) for ours in bulkhead),
                    *([f"≥ {GOALS[peer[0]]}"] if with_goals else []),
                ]
                for peer in peers
            ]
            parts += [title, table(head, lines)]
    parts.append("client: share of one processor that the measuring client used during the batch")
    return "\n\n".join(parts)


def faults(rows: list[Row]) -> str:
    """The table of a run that measured faults."""
    lines = []
    for name in dict.fromkeys((row["system"], row["fault"]) for row in rows):
        chosen = [row for row in rows if (row["system"], row["fault"]) == name]
        what = {"abort": "calls abort()", "kill": "killed in mid task"}[name[1]]
        seconds = (
            "hangs" if any(row["end"] == "hangs" for row in chosen) else spread([row["seconds"] for row in chosen])
        )
        ends = "/".join(dict.fromkeys(row["end"] for row in chosen))
        runs = "/".join(dict.fromkeys(str(row["runs"]) for row in chosen))
        after = "/".join(dict.fromkeys(row.get("next_call", "") for row in chosen))
        lines.append([name[0], chosen[0]["version"], what, ends, seconds, runs, after, chosen[-1]["words"][:60]])
    head = ["system", "version", "the function's process", "end", "seconds", "runs", "next call", "in its words"]
    note = "seconds: from the submission, or from the kill in the middle of a task of 2 s, until the client has the end"
    return f"{table(head, lines)}\n\n{note}"


def in_order(rows: list[Row]) -> list[tuple[str, str]]:
    """Each system in each way to use it, as they were first measured."""
    return list(dict.fromkeys((row["system"], row["variant"]) for row in rows))


def of(rows: list[Row], name: tuple[str, str]) -> list[Row]:
    """The rows of one, by rounds."""
    return sorted((row for row in rows if (row["system"], row["variant"]) == name), key=lambda row: int(row["round"]))


def shown(name: tuple[str, str]) -> str:
    """Its name for people."""
    return f"{name[0]}, {name[1]}" if name[1] else name[0]


def figures(name: tuple[str, str], rows: list[Row]) -> list[str]:
    """A line of the first table."""
    p99 = [float(row["in_a_row"]["p99_ms"]) for row in rows]
    client = [row["throughput"]["client_cpu_seconds"] / row["throughput"]["seconds"] for row in rows]
    return [
        shown(name),
        rows[0]["version"],
        spread([per_second(row) for row in rows]),
        spread([p50(row) for row in rows]),
        spread(p99),
        spread([p50_quiet(row) for row in rows]),
        f"{100 * statistics.median(client):.0f} %",
    ]


def per_second(row: Row) -> float:
    """Throughput of a batch."""
    return float(row["throughput"]["per_second"])


def p50(row: Row) -> float:
    """Median of calls one after the other."""
    return float(row["in_a_row"]["p50_ms"])


def p50_quiet(row: Row) -> float:
    """Median of single calls after a second of quiet."""
    return float(row["after_quiet"]["p50_ms"])


def divide(ours: float, theirs: float) -> float:
    """How many times as much: for what should be large."""
    return ours / theirs


def divide_other_way(ours: float, theirs: float) -> float:
    """How many times as fast: for what should be small."""
    return theirs / ours


def ratios(
    ours: list[Row], theirs: list[Row], figure: Callable[[Row], float], better: Callable[[float, float], float]
) -> str:
    """Ratios inside each round that both were measured in."""
    by_round = {row["round"]: figure(row) for row in theirs}
    values = [better(figure(row), by_round[row["round"]]) for row in ours if row["round"] in by_round]
    return spread(values) if values else "-"


def spread(values: list[float]) -> str:
    """Median, and the least and most where there are several."""
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head: list[str], lines: list[list[str]]) -> str:
    """Columns as wide as they need; the first to the left, the others to the right."""
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    rule = ["-" * width for width in widths]
    rows = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in [head, rule, *lines]
    ]
    return "\n".join(row.rstrip() for row in rows)
