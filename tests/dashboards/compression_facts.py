"""What a compression leaves on record beside its stages, made by hand: tries of the solver, sensitivities, bytes."""

from __future__ import annotations

from typing import Any


def tried(
    number: int, ratio: float, size: int | None, accuracy: float | None, state: str, reason: str = ""
) -> dict[str, Any]:
    figures = {"size_bytes": size, "accuracy": accuracy} if size is not None else {}
    return {
        "number": number, "phase": 0, "decisions": {"structured_prune/ratio": ratio, "low_rank/used": number % 2 == 0},
        "passes": [], "origin": "tpe", "state": state, "reason": reason, "predicted": {"size_bytes": 99_000.0},
        "figures": figures, "stages": [], "seconds": 12.0 + number,
    }  # fmt: skip


def solver(payload: str) -> dict[str, Any]:
    """Five tries: the chosen one, one more on the front, one that broke a bound, one not trained, one failed."""
    return {
        "trials": 5,
        "open": {"structured_prune/ratio": "a number from 0.2 to 0.6"},
        "objectives": [
            {"metric": "size_bytes", "direction": "minimize", "bound": 110_000.0},
            {"metric": "accuracy", "direction": "maximize", "bound": 0.9774},
        ],
        "plane": ["size_bytes", "accuracy"],
        "original": {"size_bytes": 251_400, "accuracy": 0.9874},
        "cuts": [
            "structured_prune/ratio goes up to 0.5 only: at 0.6 most groups alone, untrained, lose more than 50 %"
        ],
        "tries": [
            tried(0, 0.3, 109_000, 0.9866, "done"),
            tried(1, 0.5, 94_210, 0.9858, "done"),
            tried(2, 0.55, 61_000, 0.9410, "infeasible", "accuracy fell by 4.6 points"),
            tried(3, 0.2, None, None, "infeasible", "predicted before training: size_bytes 160,000"),
            tried(4, 0.45, None, None, "failed", f"no channel can be removed: {payload}"),
        ],
        "front": [1, 0],
        "chosen": 1,
        "verdict": "",
    }


def sensitivity(payload: str) -> dict[str, Any]:
    """Two groups at three strengths by one pass, and one pass on the whole network that could not be applied."""
    rows = [
        {"stage": "structured_prune", "group": group, "field": "ratio", "strength": strength,
         "score": 0.9874 * (1 - loss), "loss": loss, "params": 61_706 - int(30_000 * strength), "n": 1000, "reason": ""}
        for group, weak in (("stage_1.conv", 0.1), (payload, 0.9))
        for strength in (0.2, 0.4, 0.6)
        for loss in [round(weak * strength**2, 4)]
    ]  # fmt: skip
    nothing = {"score": None, "loss": None, "params": None, "n": 1000, "reason": "nothing shrinks"}
    return {
        "score": "accuracy",
        "rows": [*rows, {"stage": "low_rank", "group": "", "field": "", "strength": None, **nothing}],
    }


def byte_counts(params: int, size: int) -> dict[str, Any]:
    """The byte columns of a stage, and a note on a layer that was left alone."""
    return {
        "dense_bytes": 4 * params,
        "gzip_bytes": int(size * 0.91),
        "coded_bytes": int(size * 0.84),
        "entropy_bound_bytes": int(size * 0.83),
        "bytes": {"weights": int(size * 0.8), "skeleton": int(size * 0.03), "rest": int(size * 0.01)},
        "notes": [{"pass": "quantize", "layer": "fc", "verdict": "left alone", "reason": "it produces the outputs"}],
    }
