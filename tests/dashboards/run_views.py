"""Runs made by hand for the tests of panels, report and app: real-looking ones and odd ones."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from compression_facts import byte_counts, sensitivity, solver

from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.runs.view import RunView
from netwright.search_spaces.graph import GraphBuilder
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.linear import Linear

PAYLOAD = '</script><img src=x onerror="window.broken=1"><b>loud</b>'
OBJECTIVES = (
    Objective(metric="accuracy", direction="maximize"),
    Objective(metric="latency_ms", direction="minimize", bound=0.9),
)
LATENCY = {
    "cpu": "AMD EPYC 7763 64-Core Processor", "isa": ["avx2"], "cpus": 2, "threads": 1, "batch": 1, "statistic": "cpu",
    "pairs": 30, "load_before": 0.31, "load_after": 0.42, "control": False,
}  # fmt: skip
S = TrialState
STATES = [S.DONE] * 21 + [S.FAILED] * 2 + [S.INFEASIBLE] * 3 + [S.STOPPED] * 3 + [S.RUNNING]


def graph() -> dict[str, Any]:
    """A small residual network as a layer graph."""
    net = GraphBuilder((1, 28, 28))
    with net.scope("stage_1"):
        stem = net.chain(net.input, Conv2d(filters=16, kernel=3, stride=2), Activation())
        inner = net.chain(stem, Conv2d(filters=16, kernel=3), Activation())
        joined = net.add(Add(), stem, inner)
    with net.scope("stage_2"):
        body = net.chain(joined, Conv2d(filters=32, kernel=3, stride=2), Activation())
    return net.finish(net.chain(body, Flatten(), Linear(features=10))).to_json()


def race(winner: int) -> dict[str, Any]:
    """Three trials of a front over three seeds, one of which dropped out."""
    racers = []
    for number, accuracy, dropped in ((winner, 0.987, None), (winner + 1, 0.981, None), (winner + 2, 0.94, 2)):
        scores = {"mean": accuracy, "low": accuracy - 0.004, "high": accuracy + 0.004, "values": [accuracy] * 3}
        latency = {"mean": 0.4, "low": 0.4, "high": 0.4, "values": []}
        metrics = {"accuracy": scores, "latency_ms": latency}
        racers.append({"trial": number, "seeds": dropped or 3, "dropped_after": dropped, "metrics": metrics})
    return {"seeds": 3, "winner": winner, "racers": racers}


def measured(metric: str, value: float | None, **more: Any) -> Measurement:
    unit = "ms" if metric == "latency_ms" else ""
    return Measurement(metric=metric, value=value, unit=unit, **more)


def trial(number: int, state: TrialState, rng: random.Random) -> Trial:
    latency = rng.uniform(0.12, 1.1)
    accuracy = 0.992 - 0.03 / (1 + 9 * latency) - rng.random() ** 2 * 0.03
    values = {"latency_ms": latency, "params": int(60_000 * latency + 4_000), "accuracy": accuracy}
    found = {}
    if state in (S.DONE, S.STOPPED):
        found = {
            name: measured(
                name,
                value,
                spread=0.012 if name == "latency_ms" else None,
                protocol=LATENCY if name == "latency_ms" else {},
            )
            for name, value in values.items()
        }
    if state is S.INFEASIBLE:
        found = {"latency_ms": measured("latency_ms", 0.95 + latency, protocol=LATENCY)}
    epochs = {S.DONE: 4, S.STOPPED: 2, S.RUNNING: 1}.get(state, 0)
    curve = [
        {
            "epoch": epoch,
            "train_loss": 1.2 / epoch,
            "validation_loss": 0.9 / epoch,
            "validation_accuracy": accuracy - 0.12 / epoch**2,
            "seconds": 3.1,
        }
        for epoch in range(1, epochs + 1)
    ]
    reasons = {
        S.FAILED: f"the worker ended with signal 9: {PAYLOAD}",
        S.INFEASIBLE: "latency_ms 1.31 is above the bound 0.9",
        S.STOPPED: "below the median after 2 epochs",
    }
    return Trial(
        number=number,
        decisions={"depth": rng.randint(1, 4), "stage_1/kernel": rng.choice([3, 5]), "width": 16, "skip": PAYLOAD},
        identity=f"{number:04d}a3f19c07be52",
        state=state,
        seed=number,
        fidelity=float(epochs),
        measurements=found,
        curve=curve,
        reason=reasons.get(state, ""),
        origin="random" if number < 10 else f"mutated from {number // 2}",
        seconds=12.5 + number,
    )


def make(trials: list[Trial], **more: Any) -> RunView:
    facts: dict[str, Any] = {
        "path": Path("runs/digits"),
        "name": "digits",
        "state": "searching",
        "sequence": len(trials),
        "specification": {"search": {"trials": 30}},
        "objectives": OBJECTIVES,
        "units": {"accuracy": "", "latency_ms": "ms", "params": ""},
        "trials": trials,
        "asked": 30,
        "counts": Counter(str(t.state) for t in trials),
    }
    return RunView(**{**facts, **more})


def stage(
    name: str, accuracy: float, latency: float, params: int, macs: int, size: int, peak: int, **more: Any
) -> dict[str, Any]:
    figures = {
        "median_ms": latency, "p10_ms": latency * 0.97, "p90_ms": latency * 1.09, "iqr_ms": latency * 0.04, "n": 200,
        "noisy": False, "reason": "", "speedup_low": None, "speedup_high": None, "resolution": 0.021,
    }  # fmt: skip
    speedup = more.pop("speedup", None)
    if speedup:
        figures |= {"speedup_low": speedup * 0.98, "speedup_high": speedup * 1.03}
    return {
        "stage": name, "accuracy": accuracy, "n": 5_000, "latency_ms": latency, "params": params, "macs": macs,
        "size_bytes": size, "peak_activation_bytes": peak, "speedup": speedup, "latency": figures,
        "protocol": {**LATENCY, "statistic": "wall", "pairs": 200, "control": True}, "kept": True, "reason": "",
        "sha256": f"hash of {name}", **byte_counts(params, size), **more,
    }  # fmt: skip


STAGES = [
    stage("original", 0.9874, 0.412, 61_706, 2_810_000, 251_400, 100_352),
    stage("structured_prune", 0.9858, 0.231, 22_310, 1_120_000, 94_210, 62_720, speedup=1.79),
    stage("low_rank", 0.9611, 0.204, 15_880, 801_000, 68_930, 62_720, speedup=2.02, kept=False,
          reason="accuracy fell by 2.6 points, the bound is 1.0; rolled back"),
    stage("quantize", 0.9852, 0.142, 22_310, 1_120_000, 31_870, 15_680, speedup=2.91),
]  # fmt: skip


@cache
def full_run() -> RunView:
    """30 trials in every state, a winner, four stages, test figures, parity, environment."""
    rng = random.Random(4)
    states = STATES.copy()
    rng.shuffle(states)
    trials = [trial(number, state, rng) for number, state in enumerate(states)]
    from netwright.analysis.front import best_within_bounds

    best = best_within_bounds(trials, OBJECTIVES)
    assert best is not None
    winner = {
        "trial": best.number,
        "rule": "the highest accuracy on the front with latency_ms at most 0.9",
        "decisions": dict(best.decisions),
        "curve": [{"epoch": e, "validation_accuracy": 0.9874 - 0.1 / e**2} for e in range(1, 13)],
        "scores": {"accuracy": 0.9874},
        "race": race(best.number),
    }
    proof = {"mean_difference": 1.1e-7, "scale": 14.2, "n": 1_000, "batch_sizes": [1, 2, 7]}
    return make(
        trials,
        state="finished",
        graphs={t.number: graph() for t in trials},
        winner=winner,
        stages=STAGES,
        solver=solver(PAYLOAD),
        sensitivity=sensitivity(PAYLOAD),
        parity=[
            {"file": "model.onnx", "max_difference": 8.3e-7, "agreement": 1.0, "tolerance": 1e-4, **proof},
            {"file": "model.int8.onnx", "max_difference": 0.31, "agreement": 0.997, "tolerance": None, **proof},
        ],
        test={
            "model.int8.onnx": {"accuracy": 0.9853, "loss": 0.0471, "n": 10_000, "sha256": "hash of quantize"},
            "model.onnx": {"accuracy": 0.9861, "loss": 0.0442, "n": 10_000, "sha256": "hash of structured_prune"},
            "winner": {"accuracy": 0.9868, "loss": 0.0431, "n": 10_000, "sha256": "hash of original"},
        },
        environment={
            "started": "2031-03-01T10:00:00.000+00:00",
            "command": "netwright search recipes/digits.yaml",
            "python": "3.12.4",
            "packages": {"torch": "2.13.0", "onnxruntime": "1.31.1"},
            "machine": {"cpu": "AMD EPYC 7763", "isa": ["avx2"], "cores": 2},
            "git": "1f2e3d4c5b6a",
            "seed": 0,
            "data": "sha256:77ab",
        },
    )


def searching_run(count: int = 12) -> RunView:
    """The first trials of the full run, before any winner."""
    return make(list(full_run().trials[:count]))


@cache
def large_run() -> RunView:
    """10,000 trials."""
    rng = random.Random(5)
    trials = [trial(number, STATES[number % 29], rng) for number in range(10_000)]
    return make([replace(t, curve=t.curve if t.number < 50 else ()) for t in trials], asked=10_000)


def without_values() -> RunView:
    """Measurements that are absent with a reason, stages with unknown figures."""
    empty = measured("accuracy", float("nan"))
    trials = [replace(t, measurements={**t.measurements, "accuracy": empty}) for t in full_run().trials]
    unknown = {"stage": "winner", "accuracy": None, "latency_ms": None, "params": None, "kept": True, "latency": None}
    return replace(
        full_run(), trials=trials, stages=[unknown, {"stage": "prune"}], test={"model.onnx": {}}, parity=[{}]
    )


def one_objective() -> RunView:
    return replace(full_run(), objectives=OBJECTIVES[:1], stages=())


def three_objectives() -> RunView:
    return replace(full_run(), objectives=[*OBJECTIVES, Objective(metric="params", direction="minimize")])


def own_model() -> RunView:
    """A run that began from a user's own network: no trials, only stages."""
    winner = {"trial": None, "rule": "a model of your own", "decisions": {}, "curve": []}
    return make([], winner=winner, stages=STAGES, state="compressed")


def all_failed() -> RunView:
    rng = random.Random(1)
    return make([trial(number, S.FAILED, rng) for number in range(4)])


VIEWS = {
    "no trials": lambda: make([]),
    "one trial": lambda: make([full_run().trials[0]]),
    "one done trial": lambda: make([next(t for t in full_run().trials if t.state is S.DONE)]),
    "all failed": all_failed,
    "without values": without_values,
    "full": full_run,
    "searching": searching_run,
    "one objective": one_objective,
    "three objectives": three_objectives,
    "own model": own_model,
    "10,000 trials": large_run,
}
