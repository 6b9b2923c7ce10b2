"""Which strengths of which settings a pass is measured at for its curve: recipes of passes, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Passes = Sequence[Mapping[str, Any] | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a pass's picture.

    `points` are recipes by the value of `setting` that stands behind each; `across` are the figures that a picture
    has to the right, `strength` for the setting itself, and `upwards` the one that it has upwards.
    """

    name: str
    setting: str
    points: Mapping[float | str, Passes]
    across: tuple[str, ...] = ("coded_bytes",)
    upwards: str = "accuracy"


def lines(pass_name: str) -> list[Line]:
    """The lines of a pass."""
    return LINES[pass_name]()


def _line(name: str, setting: str, values: Iterable[float | str], recipe: Callable[[Any], Passes], **rest: Any) -> Line:
    return Line(name=name, setting=setting, points={value: recipe(value) for value in values}, **rest)


def _structured_prune() -> list[Line]:
    def recipe(criterion: str) -> Callable[[float], Passes]:
        return lambda share: [{"kind": "structured_prune", "macs": share, "criterion": criterion, "scope": "global"}]

    return [
        _line(name, "macs", (0.8, 0.6, 0.4, 0.2), recipe(name), across=("size_bytes", "macs"))
        for name in ("taylor", "random")
    ]


def _low_rank() -> list[Line]:
    def recipe(energy: float) -> Passes:
        return [{"kind": "low_rank", "method": "spatial", "energy": energy}]

    return [_line("spatial", "energy", (0.95, 0.9, 0.8, 0.7), recipe, across=("size_bytes", "macs"))]


def _quantize() -> list[Line]:
    def recipe(method: str) -> Callable[[int], Passes]:
        return lambda samples: [{"kind": "quantize", "method": method, "calibration_samples": samples}]

    return [
        _line(method, "calibration_samples", (4, 16, 64, 256), recipe(method), across=("strength",))
        for method in ("minmax",)
    ]


EDGES = ("conv1", "linear")


def _quantize_weights() -> list[Line]:
    bits = (8, 4, 2)
    return [
        _line("all layers", "bits", bits, lambda n: [{"kind": "quantize_weights", "bits": n}], across=("size_bytes",)),
        _line(
            "first and last layer in float",
            "bits",
            bits,
            lambda n: [{"kind": "quantize_weights", "bits": n, "exclude": EDGES}],
            across=("size_bytes",),
        ),
    ]


def _quantize_aware() -> list[Line]:
    def recipe(**training: int) -> Callable[[int], Passes]:
        def passes(bits: int) -> Passes:
            stored = {"kind": "quantize_weights", "bits": next(n for n in (2, 4, 8) if n >= bits), "exclude": EDGES}
            return [{"kind": "quantize_aware", "bits": bits, **training}, stored]

        return passes

    bits = (8, 4, 3, 2)
    return [_line("one epoch", "bits", bits, recipe()), _line("rounded only", "bits", bits, recipe(epochs=0))]


def _binarize() -> list[Line]:
    groups = {
        "group 3": ("layer1", "layer2"),
        "groups 2 and 3": ("layer1",),
        "all groups": (),
    }

    def recipe(group: str) -> Passes:
        float_layers = [f"{name}.{block}.conv{n}" for name in groups[group] for block in range(3) for n in (1, 2)]
        return [
            {"kind": "binarize", "values": "ternary", "exclude": float_layers},
            {"kind": "quantize_weights", "bits": 2, "exclude": [*EDGES, *float_layers]},
        ]

    return [_line("ternary", "layers", groups, recipe)]


DENSITIES = (0.5, 0.3, 0.1, 0.05)


def _unstructured_prune() -> list[Line]:
    def recipe(**settings: Any) -> Callable[[float], Passes]:
        return lambda density: [{"kind": "unstructured_prune", "density": density, **settings}]

    return [
        _line("one epoch", "density", DENSITIES, recipe()),
        _line("not trained", "density", DENSITIES, recipe(epochs=0)),
    ]


def _n_m_prune() -> list[Line]:
    def recipe(**training: int) -> Callable[[str], Passes]:
        def passes(pattern: str) -> Passes:
            n, m = pattern.split(":")
            return [{"kind": "n_m_prune", "n": int(n), "m": int(m), **training}]

        return passes

    patterns = ("3:4", "2:4", "1:4", "1:8")
    return [_line("one epoch", "n:m", patterns, recipe()), _line("not trained", "n:m", patterns, recipe(epochs=0))]


def _share_weights() -> list[Line]:
    def recipe(**training: float) -> Callable[[int], Passes]:
        return lambda bits: ["fold", {"kind": "share_weights", "bits": bits, **training}]

    # without its batch norms the network, shared or not, does not bear the rate of the other curves
    return [
        _line("not trained", "bits", (5, 4, 3, 2), recipe(epochs=0)),
        _line("one epoch", "bits", (4, 3), recipe(learning_rate=0.001)),
    ]


PRUNED = {"kind": "structured_prune", "macs": 0.4, "criterion": "taylor", "epochs": 0}


def _trained_again(names: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    def recipe(settings: Mapping[str, Any]) -> Callable[[int], Passes]:
        return lambda epochs: [PRUNED, {**settings, "epochs": epochs}] if epochs else [PRUNED]

    return [
        _line(name, "epochs", (0, 1, 3), recipe(settings), across=("strength",)) for name, settings in names.items()
    ]


def _fine_tune() -> list[Line]:
    return _trained_again(
        {"taught by the original": {"kind": "fine_tune"}, "classes alone": {"kind": "fine_tune", "distill": False}}
    )


def _distill() -> list[Line]:
    return _trained_again(
        {
            "outputs": {"kind": "fine_tune"},
            "outputs and hints": {"kind": "distill", "features": "hints"},
            "outputs and attention": {"kind": "distill", "features": "attention"},
        }
    )


def _entropy_code() -> list[Line]:
    figures = {"size_bytes": "ONNX file", "gzip_bytes": "gzip -9", "coded_bytes": "archive"}
    shares = (0.0, *(round(1 - density, 2) for density in DENSITIES))

    def passes(zeros: float) -> Passes:
        return [{"kind": "unstructured_prune", "density": round(1 - zeros, 2), "epochs": 0}] if zeros else []

    return [
        _line(name, "zeros", shares, passes, across=("strength",), upwards=figure) for figure, name in figures.items()
    ]


LINES: Mapping[str, Callable[[], list[Line]]] = {
    "n_m_prune": _n_m_prune,
    "quantize_weights": _quantize_weights,
    "structured_prune": _structured_prune,
    "low_rank": _low_rank,
    "unstructured_prune": _unstructured_prune,
    "entropy_code": _entropy_code,
    "share_weights": _share_weights,
    "quantize_aware": _quantize_aware,
    "quantize": _quantize,
    "binarize": _binarize,
    "fine_tune": _fine_tune,
    "distill": _distill,
}
"""The passes that have a curve. `fold` has one strength, and changes neither accuracy nor the file."""
