"""Rows and sentences about a run that commands print. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from netwright.analysis.front import pareto_front
from netwright.analysis.tradeoff import outcome
from netwright.core.text import rounded
from netwright.runs.view import RunView

COLUMNS = ("stage", "accuracy", "latency_ms", "params", "macs", "size_bytes", "peak_activation_bytes")
"""The columns of a stage that scripts rely on."""

CODED_WELL = 0.6
"""The share of a file's bytes below which entropy coding is worth a column."""
SLOWER = "slower, kept for its other gains; `compress.bounds.slowdown: 0` rolls such stages back"


def stage_row(row: Mapping[str, Any], *, score: str = "accuracy") -> dict[str, Any]:
    """The columns of a stage that scripts rely on, its speed-up, and whether it was kept.

    `score` is what the task judges models by; where that is not accuracy, it is a column of its own. A latency whose
    verdict is NOISY has its median here, with `latency_noisy`, as in `netwright bench`. `did` is what the pass says of
    the whole network, `coverage` the shares of it that a pass reached, from 0 to 1, such as `int8_params`, `int8_macs`.
    """
    shown = {name: row.get(name) for name in dict.fromkeys([*COLUMNS[:2], score, *COLUMNS[2:]])}
    latency = row.get("latency") or {}
    if shown["latency_ms"] is None and latency.get("noisy"):
        wall = (row.get("protocol") or {}).get("statistic", "wall") == "wall"
        shown["latency_ms"] = latency.get("median_ms" if wall else "cpu_median_ms")
    whole = [note for note in row.get("notes") or () if not note.get("layer")]
    extra = {
        "latency_noisy": bool(latency.get("noisy")),
        "coded_bytes": row.get("coded_bytes"),
        "speed-up": row.get("speedup_text") or None,
        "kept": row.get("kept", True),
        "reason": row.get("reason", ""),
        "did": "; ".join(note["reason"] for note in whole if note.get("reason")),
        "coverage": {name: share for note in whole for name, share in (note.get("figures") or {}).items()},
    }
    return {**shown, **extra}


def summary(view: RunView) -> dict[str, Any]:
    """A run in numbers: trials by state, the front, the winner, the recipe's own front, a row per compression stage."""
    front = pareto_front(view.trials, view.objectives)
    names = [objective.metric for objective in view.objectives]
    rows = [
        {"trial": t.number, **{n: t.value(n) for n in names}, "params": t.value("params"), "macs": t.value("macs")}
        for t in front
    ]
    return {
        "run": str(view.path),
        "name": view.name,
        "state": view.state,
        "trials": {"asked": view.asked, **view.counts},
        "front": rows,
        "winner": {key: view.winner[key] for key in ("trial", "rule", "scores")} if view.winner else None,
        "recipe_front": recipe_front(view),
        "stages": [stage_row(row, score=view.score.metric) for row in view.stages],
        "test": view.test,
        "report": str(view.report) if view.report else None,
        "bundle": str(view.bundle) if view.bundle else None,
    }


def recipe_front(view: RunView) -> list[dict[str, Any]]:
    """The settings of open fields that keep all bounds and that no other one beats, with what they came to."""
    solver = view.solver or {}
    tries = {one["number"]: one for one in solver.get("tries", ())}
    metrics = [one["metric"] for one in solver.get("objectives", ())]
    return [
        {
            "try": number,
            "settings": tries[number]["decisions"],
            **{metric: tries[number]["figures"].get(metric) for metric in metrics},
            "chosen": number == solver.get("chosen"),
        }
        for number in solver.get("front", ())
    ]


def settings_text(decisions: Mapping[str, Any]) -> str:
    """The settings of open fields in a line."""
    return ", ".join(f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}" for n, v in decisions.items())


def table_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns of stages for people: those that say something.

    Accuracy is left out where the task is judged by something else, coded bytes where coding would not save much,
    the verdict NOISY where no latency has it.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    silent = {"did", "coverage"}
    if all(row.get("accuracy") is None for row in rows):
        silent.add("accuracy")
    if not any(row.get("latency_noisy") for row in rows):
        silent.add("latency_noisy")
    if not any((row.get("coded_bytes") or math.inf) < CODED_WELL * (row.get("size_bytes") or 0) for row in rows):
        silent.add("coded_bytes")
    return [name for name in names if name not in silent]


def summary_sentence(view: RunView) -> str:
    """What became of the winner, in a few lines; every figure is computed from the record."""
    kept = [row for row in view.stages if row.get("kept", True)]
    lines = [_kept(kept, tried=len(view.stages) > 1)]
    tested = view.test or {}
    names = ("model.int8.onnx", "model.compressed.onnx", "model.onnx")
    final = next((tested[name] for name in names if name in tested), None)
    if final is not None and "winner" in tested:
        score = view.score.metric
        changed = len(kept) > 1
        lines.append(_tested(tested["winner"], final, score=score) if changed else _tested_once(final, score=score))
        if view.without_network and score in view.without_network:
            answer, value = view.without_network["answer"], _shown(view.without_network[score], score=score)
            gain = final[score] - view.without_network[score]
            better = gain > 0 if view.score.direction == "maximize" else gain < 0
            lines.append(
                f"Without a network, {answer}: {value} on the same samples"
                f"{'' if better else '; the network is no better'}."
            )
    failed, rolled = (
        [row["stage"] for row in view.stages if outcome(row) == told] for told in ("could not be done", "rolled back")
    )
    if failed:
        lines.append(f"Could not be done: {', '.join(failed)}; the report says why.")
    if rolled:
        lines.append(f"Rolled back for breaking a bound or for no gain: {', '.join(rolled)}; the report says which.")
    return "\n".join(lines)


def _kept(kept: Sequence[Mapping[str, Any]], *, tried: bool) -> str:
    if len(kept) < 2:
        return f"{'No compression stage was kept; the' if tried else 'The'} winner is deployed as it is."
    first, last = kept[0], kept[-1]
    return (
        f"{first['size_bytes'] / last['size_bytes']:.2f}x smaller on disk "
        f"({first['size_bytes']:,} -> {last['size_bytes']:,} bytes), {_speed(last)}.{_uncoded(first, last)}"
    )


def _uncoded(first: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    """What zeros and shared values are worth that no pass has coded: an ONNX file stays as large with them."""
    size, coded = last["size_bytes"], last.get("coded_bytes") or math.inf
    if coded >= CODED_WELL * size:
        return ""
    ratio = first["size_bytes"] / coded
    return f"\nWith entropy_code as the last pass it would be {ratio:.2f}x: an archive of {coded:,} bytes."


def _tested_once(final: Mapping[str, Any], *, score: str) -> str:
    """The score on the test split and what else is scored."""
    text = _shown(final[score], score=score)
    others = [
        f"{name} {rounded(value)}, " for name, value in final.items() if name not in (score, "loss", "n", "sha256")
    ]
    return f"Test {score} {text} ({''.join(others)}{final['n']:,} samples, read once)."


def _shown(value: float, *, score: str) -> str:
    return f"{100 * value:.2f} %" if score == "accuracy" else rounded(value)


def _tested(winner: Mapping[str, Any], final: Mapping[str, Any], *, score: str) -> str:
    before, after = winner[score], final[score]
    if score == "accuracy":
        return (
            f"Test accuracy {100 * before:.2f} % -> {100 * after:.2f} % "
            f"({100 * (after - before):+.2f} points, {final['n']:,} samples, read once)."
        )
    sign = "+" if after >= before else ""
    change = f"{rounded(before)} -> {rounded(after)} ({sign}{rounded(after - before)}"
    return f"Test {score} {change}, {final['n']:,} samples, read once)."


def _speed(row: Mapping[str, Any]) -> str:
    text = row.get("speedup_text") or ""
    if "x (" in text:
        slower = (row.get("latency") or {}).get("speedup_high", 1.0) < 1
        return f"{text} as fast by the protocol" + (f": {SLOWER}" if slower else "")
    return f"speed-up {text or 'not measured'}"
