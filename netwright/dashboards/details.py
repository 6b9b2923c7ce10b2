"""All that is known of one trial: measurements, curve, decisions, drawing and the command that exports it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netwright.core.errors import NetwrightError, UnknownNameError
from netwright.core.records import Measurement, Trial, TrialState
from netwright.dashboards.labels import column, rounded, worded
from netwright.runs.view import RunView

if TYPE_CHECKING:
    from netwright.search_spaces.graph import LayerGraph


def trial_details(view: RunView, number: int) -> dict[str, Any]:
    """The details of a trial as plain JSON; raises UnknownNameError when there is no such trial."""
    trial = find_trial(view, number)
    winner = (view.winner or {}).get("trial") == number
    return {
        "number": number,
        "state": str(trial.state),
        "winner": winner,
        "reason": worded(trial.reason),
        "origin": trial.origin,
        "identity": trial.identity,
        "seconds": rounded(trial.seconds, 4),
        "epochs": trial.fidelity or len(trial.curve),
        "started": trial.started,
        "ended": trial.ended,
        "measurements": [_measured(name, m, view) for name, m in trial.measurements.items()],
        "decisions": decisions_told(trial),
        "curve": [{key: rounded(value) for key, value in row.items()} for row in trial.curve],
        "score": _score(view),
        "drawing": draw(view, number),
        "command": export_command(view, trial),
    }


def decisions_told(trial: Trial) -> list[list[str]]:
    """The names and values of a trial's decisions as texts."""
    return [[str(name), _text(value)] for name, value in trial.decisions.items()]


def find_trial(view: RunView, number: int) -> Trial:
    """The trial of that number; raises UnknownNameError."""
    for trial in view.trials:
        if trial.number == number:
            return trial
    raise UnknownNameError("trial", str(number), [])


def export_command(view: RunView, trial: Trial) -> str:
    """The line that exports a trial; empty for one without weights, which those have that were trained to the end."""
    if trial.state is not TrialState.DONE:
        return ""
    return f"netwright export {shlex.quote(str(view.path))} --trial {trial.number} --format onnx"


def graph_of(view: RunView, number: int) -> LayerGraph | None:
    """The layer graph of a trial; None when the run has none for it, or one that cannot be read here.

    A colleague's run may use a space or operations that are not installed on this machine: its drawing is then
    missing, while everything else about the trial can still be shown.
    """
    from netwright.search_spaces.graph import LayerGraph

    try:
        data: Mapping[str, Any] | None = view.graphs.get(number)
        return None if data is None else LayerGraph.from_json(data)
    except NetwrightError:
        return None


def draw(view: RunView, number: int) -> str | None:
    """A trial's architecture as SVG text; None when there is no graph of it."""
    from netwright.search_spaces.drawing import draw_svg

    graph = graph_of(view, number)
    return None if graph is None else draw_svg(graph)


def _score(view: RunView) -> dict[str, str]:
    """What the curve is drawn of: key in its rows, name and kind of number."""
    shown = column(f"validation_{view.score.metric}", units=view.units)
    return {"key": shown.key, "label": shown.label, "kind": shown.kind}


def _measured(name: str, measurement: Measurement, view: RunView) -> dict[str, Any]:
    shown = column(name, units=view.units)
    return {
        "metric": shown.label,
        "value": rounded(measurement.value),
        "kind": shown.kind,
        "unit": shown.unit,
        "spread": rounded(measurement.spread, 3),
        "reason": worded(measurement.reason),
        "how": protocol_said(measurement.protocol),
    }


def protocol_text(protocol: Mapping[str, Any]) -> str:
    """The protocol of a measurement in one line, the plain facts only."""
    shown = {key: value for key, value in protocol.items() if value is not None and value != "" and value != []}
    return ", ".join(f"{key.replace('_', ' ')} {_text(value)}" for key, value in shown.items())


def protocol_said(protocol: Mapping[str, Any]) -> str:
    """The protocol in words; all of its settings are in the numbers of the report."""
    if not {"statistic", "pairs"} <= set(protocol):
        return protocol_text(protocol)
    threads = protocol.get("threads")
    facts = [
        f"{protocol['statistic']} time" + (f" on {protocol['cpu']}" if protocol.get("cpu") else ""),
        f"{threads} {'thread' if threads == 1 else 'threads'}" if threads else "",
        f"batch {protocol['batch']}" if protocol.get("batch") else "",
        f"{protocol['pairs']} samples of each model",
        f"in turns with {protocol['reference']}" if protocol.get("reference") else "",
        f"after at most {protocol['warmup_seconds']:g} s of warm-up" if protocol.get("warmup_seconds") else "",
    ]
    text = ", ".join(fact for fact in facts if fact)
    spread = protocol.get("noisy_above")
    return text + (f"; noisy is an inter-quartile range above {spread:.0%} of the median" if spread else "")


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
