"""The headline numbers: what a reader wants to know first, computed from the run's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netwright.analysis.front import pareto_front
from netwright.analysis.intervals import wilson
from netwright.analysis.tradeoff import final_stage, number, tradeoff
from netwright.core.records import FINISHED
from netwright.dashboards.labels import column, rounded
from netwright.dashboards.panels.compression import noisy_text
from netwright.dashboards.panels.proof import tested_models
from netwright.runs.view import RunView

Card = dict[str, Any]


def cards(view: RunView) -> list[Card]:
    """The cards in order. Keys: `label`, `value`, `kind`, `unit`, and as far as known `before`, `low`, `high`,
    `factor` with its interval `factor_low`, `factor_high` and the word `better`, `change` and whether that is `worse`,
    `note`, and `without`: what the answer `instead`, without a network, scores on the same samples.
    """
    if view.stages:
        return _compressed(view)
    return [*_searched(view), *([_progress(view)] if view.asked else [])]


def _compressed(view: RunView) -> list[Card]:
    rows = [{**row, "place": place} for place, row in enumerate(tradeoff(view.stages, score=view.score.metric))]
    first, last = rows[0], final_stage(rows) or rows[0]
    others = ("macs", "size_bytes", "params", "peak_activation_bytes")
    about = noisy_text(view.stages[int(last["place"])])
    found = [_score(view, first, last), _latency(first, last, about), *(_cost(key, first, last) for key in others)]
    return [card for card in found if card["value"] is not None]


def _latency(first: Mapping[str, Any], last: Mapping[str, Any], about: str) -> Card:
    """The latency with its paired speed-up; what the noise hides is called noise, with the number it is `about`."""
    if last["latency_ms_noisy"]:
        value, _, rough = about.partition(", ")
        note = "; ".join(part for part in (rough, _why(last)) if part)
        return {"label": column("latency_ms").label, "value": value, "kind": "text", "note": note}
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
    if last is first or first[key] is None:
        return card
    if last[key] == first[key]:
        return card | {"note": "unchanged"}
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
    if before is None or value is None or last is first:
        return card
    if value == before:
        return card | {"note": f"unchanged; {card['note']}"}
    worse = view.score.loss(value) > view.score.loss(before)
    return card | {"before": rounded(before), "change": rounded(value - before), "worse": worse}


def _searched(view: RunView) -> list[Card]:
    """Before anything is compressed: the best trial within the bounds and the front."""
    best = view.best()
    if best is None:
        return []
    shown = [column(objective.metric, units=view.units) for objective in view.objectives]
    found = [{"label": s.label, "value": rounded(best.value(s.key)), "kind": s.kind, "unit": s.unit} for s in shown]
    size = len(pareto_front(view.trials, view.objectives))
    return [*found, {"label": "trials on the front", "value": size, "kind": "integer"}]


def _progress(view: RunView) -> Card:
    finished = sum(trial.state in FINISHED for trial in view.trials)
    bad = ", ".join(
        f"{view.counts[state]:,} {state}" for state in ("failed", "infeasible", "stopped") if view.counts.get(state)
    )
    return {"label": "trials tried", "value": finished, "kind": "integer", "of": view.asked, "note": bad}
