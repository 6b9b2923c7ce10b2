"""The headline numbers: what a reader wants to know first, computed from the run's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netwright.analysis.front import best_within_bounds, pareto_front
from netwright.analysis.intervals import wilson
from netwright.analysis.tradeoff import final_stage, number, tradeoff
from netwright.core.records import FINISHED
from netwright.dashboards.labels import column, rounded
from netwright.dashboards.panels.proof import tested_models
from netwright.runs.view import RunView

Card = dict[str, Any]


def cards(view: RunView) -> list[Card]:
    """The cards in order. Keys: `label`, `value`, `kind`, `unit`, and as far as known `before`, `low`, `high`,
    `factor` with its interval `factor_low`, `factor_high` and the word `better`, `note`, and `without`: what the answer
    `instead`, without a network, scores on the same samples.
    """
    if view.stages:
        return [*_compressed(view), *_parity(view)]
    return [*_searched(view), *_parity(view), _progress(view)]


def _compressed(view: RunView) -> list[Card]:
    rows = [{**row, "place": place} for place, row in enumerate(tradeoff(view.stages, score=view.score.metric))]
    first, last = rows[0], final_stage(rows) or rows[0]
    others = ("macs", "size_bytes", "params", "peak_activation_bytes")
    found = [_score(view, first, last), _latency(first, last), *(_cost(key, first, last) for key in others)]
    return [card for card in found if card["value"] is not None]


def _latency(first: Mapping[str, Any], last: Mapping[str, Any]) -> Card:
    """The latency with its paired speed-up; what the noise hides is called noise, never a number."""
    if last["latency_ms_noisy"]:
        return {"label": column("latency_ms").label, "value": "noisy", "kind": "text", "note": _why(last)}
    card = _cost("latency_ms", first, last)
    if last["latency_ms_note"]:
        return {key: value for key, value in card.items() if key != "factor"} | {"note": _why(last)}
    if last["speedup"] is None:
        return card | {"better": "faster"}
    return card | {key: rounded(last[f"speedup{end}"], 6) for key, end in _SPEED.items()} | {"better": "faster"}


def _why(last: Mapping[str, Any]) -> str:
    return str(last["latency_ms_note"]).removeprefix("NOISY: ")


_SPEED = {"factor": "", "factor_low": "_low", "factor_high": "_high"}


def _cost(key: str, first: Mapping[str, Any], last: Mapping[str, Any]) -> Card:
    shown = column(key)
    card: Card = {"label": shown.label, "value": rounded(last[key]), "kind": shown.kind, "unit": shown.unit}
    if last is first:
        return card
    factor = rounded(last[f"{key}_factor"], 6)
    return card | {"before": rounded(first[key]), "factor": factor, "better": "smaller"}


def _score(view: RunView, first: Mapping[str, Any], last: Mapping[str, Any]) -> Card:
    """The accuracy of the model that leaves, or what else the task judges by: on the test split once it was read,
    before that on validation.
    """
    metric = view.score.metric
    shown = column(metric, units=view.units)
    tested = {model.stage: model for model in tested_models(view) if number(model.figures.get(metric)) is not None}
    ends = [tested.get(place) for place in (0, int(last["place"]))]
    if ends[1] is not None:
        before = ends[0].figures[metric] if ends[0] is not None else None
        value, n, split = ends[1].figures[metric], ends[1].n, "test split"
    else:
        before, value, n, split = first[metric], last[metric], last["samples"], "validation split"
    card: Card = {"label": shown.label, "value": rounded(value), "kind": shown.kind, "unit": shown.unit}
    card["note"] = f"{split}, n = {n:,}" if n else split
    if ends[1] is not None and (naive := number((view.without_network or {}).get(metric))) is not None:
        card |= {"without": rounded(naive), "instead": str((view.without_network or {})["answer"])}
    if metric == "accuracy" and value is not None and n and 0 <= value <= 1:
        card["low"], card["high"] = (rounded(bound) for bound in wilson(value, n=n))
    return card if before is None or last is first else card | {"before": rounded(before)}


def _searched(view: RunView) -> list[Card]:
    """Before anything is compressed: the best trial within the bounds and the front."""
    if not view.objectives:
        return []
    best = best_within_bounds(view.trials, view.objectives)
    if best is None:
        return []
    found: list[Card] = []
    for objective in view.objectives:
        shown = column(objective.metric, units=view.units)
        found.append(
            {
                "label": shown.label,
                "value": rounded(best.value(objective.metric)),
                "kind": shown.kind,
                "unit": shown.unit,
            }
        )
    size = len(pareto_front(view.trials, view.objectives))
    return [*found, {"label": "trials on the front", "value": size, "kind": "integer"}]


def _parity(view: RunView) -> list[Card]:
    known = [entry for entry in view.parity if number(entry.get("agreement")) is not None]
    if not known:
        return _difference(view)
    worst = min(known, key=lambda entry: float(entry["agreement"]))
    difference = max(
        (float(e["max_difference"]) for e in known if number(e.get("max_difference")) is not None), default=None
    )
    note = "" if difference is None else f"largest difference {difference:.2g}"
    samples = f", n = {worst['n']:,}" if isinstance(worst.get("n"), int) else ""
    card = {"label": "same answers after export", "value": rounded(float(worst["agreement"])), "kind": "share"}
    return [card | {"note": note + samples}]


def _difference(view: RunView) -> list[Card]:
    """Where outputs are no classes: how far the exported model's are from the original's, the float file's first."""
    known = [entry for entry in view.parity if number(entry.get("max_difference")) is not None]
    if not known:
        return []
    first = known[0]
    note = f"largest output {first['scale']:.3g}, n = {first['n']:,}" if "scale" in first and "n" in first else ""
    value = rounded(float(first["max_difference"]), 3)
    return [{"label": "largest difference after export", "value": value, "kind": "number", "note": note}]


def _progress(view: RunView) -> Card:
    finished = sum(trial.state in FINISHED for trial in view.trials)
    bad = ", ".join(
        f"{view.counts[state]:,} {state}" for state in ("failed", "infeasible", "stopped") if view.counts.get(state)
    )
    return {"label": "trials finished", "value": finished, "kind": "integer", "of": view.asked, "note": bad}
