"""The answer of a run in a few lines: which model, how it was made, is it any good, is it proven, where is its file."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from netwright.analysis.tradeoff import number, outcome
from netwright.core.records import FINISHED, TrialState
from netwright.dashboards.headline import cards
from netwright.dashboards.labels import cause, shortened, value_text, worded
from netwright.dashboards.panels.proof import tested_models
from netwright.runs.folder import RunFolder, driver_is_gone
from netwright.runs.view import RunView

Answer = dict[str, Any]


def answer(view: RunView) -> Answer:
    """Keys: `text`, `caution` (what speaks against the model, or nothing), `proof`, `file` (a path, or nothing),
    `command` (the next one to give, or nothing).
    """
    if view.stages:
        return _compressed(view)
    best = view.best()
    run = shlex.quote(str(view.path))
    if view.state == "searching" or (best is None and len(view.trials) >= view.asked):
        command = ""
    elif _is_whole(view):
        command = _resume(view)
    elif view.state == "interrupted" and len(view.trials) < view.asked:
        command = f"netwright search --resume {run}"
    else:
        command = f"netwright compress {run} --trial best" if best is not None else ""
    if (view.winner or {}).get("trial") is not None:
        text = f"{_whose(view)}. It is not compressed yet."
    elif best is not None:
        within = " within the bounds" if any(o.bound is not None for o in view.limits) else ""
        text = f"Trial {best.number} is the best{within} so far. It has had the search's short training only."
    else:
        text = _nothing(view)
    return {"text": text, "caution": "", "proof": "", "file": "", "command": command}


def _compressed(view: RunView) -> Answer:
    kept = [stage for stage in view.stages if stage.get("kept", True)]
    passes = [str(stage.get("stage", "")).replace("_", " ") for stage in kept[1:]]
    made = f"made smaller by {_and(passes)}" if passes else f"not made smaller: {_unchanged(view.stages[1:])}"
    file = _file(view, kept[-1])
    if view.bundle:
        command = f"python {shlex.quote(str(view.bundle / 'load.py'))}"
    else:
        command = _resume(view) if _is_whole(view) else f"netwright export {shlex.quote(str(view.path))}"
    proof, handed = _proof(view, file), _archive(view, kept[-1]) or file
    text, caution = f"{_whose(view)}, {made}.", _caution(view)
    return {"text": text, "caution": caution, "proof": proof, "file": handed, "command": command}


def _unchanged(tried: Sequence[Mapping[str, Any]]) -> str:
    """Why no pass made the network smaller."""
    undone = sum(outcome(stage) == "could not be done" for stage in tried)
    if not tried:
        return "no pass was asked for"
    if undone == len(tried):
        return "no pass could be done"
    if undone:
        return f"{len(tried) - undone} of {len(tried)} passes rolled back, the others could not be done"
    return "every pass was rolled back"


def _caution(view: RunView) -> str:
    """That the model is no better than an answer which needs no network, or not surely; nothing when it is better."""
    card = next((card for card in cards(view) if "without" in card), None)
    if card is None:
        return ""
    value, naive, metric = card["value"], card["without"], view.score.metric
    than = f"{card['instead']}, which needs no network: {value_text(metric, naive, units=view.units)}"
    if view.score.loss(value) >= view.score.loss(naive):
        return f"It is no better than {than}."
    if card.get("low", value) <= naive <= card.get("high", value):
        return f"These test samples are too few to tell it from {than}."
    return ""


def _is_whole(view: RunView) -> bool:
    """Whether the run was begun by a command that goes the whole way, from the search to the bundle."""
    words = str(view.environment.get("command", "")).split()
    return len(words) > 1 and words[1] in ("run", "quickstart")


def _resume(view: RunView) -> str:
    """How a run that was to go the whole way goes on; nothing while it may still be at work."""
    gone = driver_is_gone(RunFolder(view.path))
    return f"netwright run --resume {shlex.quote(str(view.path))}" if gone else ""


def _whose(view: RunView) -> str:
    winner = view.winner or {}
    rule = worded(str(winner.get("rule") or ""))
    if winner.get("trial") is None:
        return rule[:1].upper() + rule[1:] if rule else "A model of your own"
    return f"Trial {winner['trial']}" + (f", {rule}" if rule else "")


def _file(view: RunView, stage: Any) -> str:
    """The file of the model that leaves: in the bundle where there is one, else the stage's own."""
    place = next((i for i, one in enumerate(view.stages) if one is stage), None)
    if view.bundle is not None:
        names = [tested.name for tested in tested_models(view) if tested.stage == place]
        names += [str(entry.get("file")) for entry in reversed(view.parity)]
        for name in names:
            if (view.bundle / name).is_file():
                return str(view.bundle / name)
    return str(view.path / stage["file"]) if stage.get("file") else ""


def _archive(view: RunView, stage: Any) -> str:
    """The archive that the stage's size is of, in the bundle where there is one; nothing where no pass made any."""
    if not stage.get("archive"):
        return ""
    inside = next(view.bundle.glob("*.nwz"), None) if view.bundle is not None else None
    return str(inside or view.path / stage["archive"])


def _proof(view: RunView, file: str) -> str:
    """How far the file was compared with the network it came from; nothing when it was not."""
    named = [one for one in view.parity if one.get("file") and file.endswith(str(one["file"]))]
    entry = next(
        (one for one in [*named, *reversed(view.parity)] if number(one.get("max_difference")) is not None), None
    )
    if entry is None:
        return "Not exported as a bundle yet: nothing is proven beyond the figures below."
    agreement, difference = number(entry.get("agreement")), number(entry["max_difference"])
    samples = f" on {entry['n']:,} samples" if isinstance(entry.get("n"), int) else ""
    same = f"answers as the trained network does in {100 * agreement:.2f} % of cases" if agreement is not None else ""
    its = "its" if same else "the trained network's"
    largest = f", the largest of which is {scale:.2g}" if (scale := number(entry.get("scale"))) is not None else ""
    apart = f"is at most {difference:.2g} off {its} outputs{largest}" if difference is not None else ""
    return f"Compared{samples}, the exported file {_and([part for part in (same, apart) if part])}."


def _nothing(view: RunView) -> str:
    """Why there is no model to name yet."""
    if not view.asked:
        verdict = shortened(worded(str((view.solver or {}).get("verdict") or "")), most=400)
        return "Nothing has been compressed yet." + (f" {verdict[:1].upper()}{verdict[1:]}." if verdict else "")
    if not any(trial.state in FINISHED for trial in view.trials):
        return "No trial has finished yet."
    counts = {state: view.counts.get(state, 0) for state in (TrialState.FAILED, TrialState.INFEASIBLE)}
    told = [f"{count:,} {state}" for state, count in counts.items() if count]
    reasons = Counter(cause(trial.reason) for trial in view.trials if trial.state in counts and trial.reason)
    why = "".join(f" Most often: {shortened(worded(reason))}." for reason, _ in reasons.most_common(1))
    none = "No trial came to an end within the bounds"
    if len(view.trials) < view.asked:
        return f"{none} yet" + (f": {_and(told)}." if told else ".") + why
    todo = " Mend the cause or loosen the bounds, and begin a new run."
    return none + (f": {_and(told)}." if told else ".") + why + todo


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
