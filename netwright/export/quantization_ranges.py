"""Ranges of activations from calibration data, as ONNX Runtime's static quantizer takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from netwright.export.onnx_runtime import Session, opened, quiet_options

Calibration = Literal["minmax", "entropy", "percentile", "mse"]
Floats = npt.NDArray[Any]
Steps = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Error = Callable[[Floats, Floats, Steps, Mask], float]
"""Of a histogram's counts, what its values are missed by, the steps they become, and which are clipped."""
_BATCH = 64
_BINS = 2048
_SHARES = np.linspace(0.2, 1.0, 65)
_NEARLY_NONE = 1e-6
"""A share of values that stands for none, where a logarithm would have no end."""


def save_ranges(path: Path, data: npt.NDArray[Any], *, method: Calibration, percentile: float, target: Path) -> None:
    """Write the range of every activation of a prepared file to `target`, the runtime's calibration cache.

    `data` is preprocessed float32 [samples, *shape]. minmax takes the extremes; percentile the part that holds so
    many per cent of the values; entropy the part whose 8-bit distribution diverges least (Migacz, 2017); mse the
    part with the least squared error of 8-bit rounding and clipping together (Banner et al., NeurIPS 2019).
    """
    from onnxruntime import quantization as q
    from onnxruntime.quantization import calibrate, registry

    # the runtime's own entropy method has as many bins as steps unless told otherwise, and then clips nothing
    kind = q.CalibrationMethod.Percentile if method == "percentile" else q.CalibrationMethod.MinMax
    calibrator = q.create_calibrator(
        path,
        sorted({*registry.QLinearOpsRegistry, *registry.QDQRegistry}),
        augmented_model_path=str(target.with_suffix(".augmented.onnx")),
        calibrate_method=kind,
        extra_options={"percentile": percentile} if method == "percentile" else {},
    )
    calibrator.collect_data(_Reader(_feeds(data, Session(path).input_name)))
    ranges = calibrator.compute_data()
    if method in ERRORS:
        found = {name: one.range_value for name, one in ranges.items()}
        known = {name: (np.asarray(lo).item(), np.asarray(hi).item()) for name, (lo, hi) in found.items()}
        limits = _least_error(known, path, data, error=ERRORS[method])
        like = {name: np.asarray(lo) for name, (lo, _) in found.items()}
        pairs = {
            name: tuple(np.asarray(value, np.float32).reshape(like[name].shape) for value in pair)
            for name, pair in limits.items()
        }
        ranges = calibrate.TensorsData(q.CalibrationMethod.MinMax, pairs)
    calibrate.save_tensors_data(ranges, target)


def batches(data: npt.NDArray[Any], *, size: int = _BATCH) -> Iterator[npt.NDArray[np.float32]]:
    """Equal batches, because the histogram methods refuse others: the last one may overlap the one before."""
    size = min(size, len(data))
    for start in range(0, len(data), size):
        first = min(start, len(data) - size)
        yield np.ascontiguousarray(data[first : first + size], dtype=np.float32)


def means_of(model: Any, outputs: list[str], data: npt.NDArray[Any], *, folder: Path) -> list[npt.NDArray[Any]]:
    """The mean over batches of what a graph gives for some of its tensors; batches of 16 keep memory small."""
    path = folder / "watched.onnx"
    onnx.save(model, str(path))
    session = opened(path, quiet_options())
    name = session.get_inputs()[0].name
    sums: list[Any] = [0.0] * len(outputs)
    count = 0
    for batch in batches(data, size=16):
        found = session.run(outputs, {name: batch})
        sums = [total + np.asarray(one, np.float64) for total, one in zip(sums, found, strict=True)]
        count += 1
    return [np.asarray(total / count) for total in sums]


class _Reader:
    """Calibration data in batches, as the runtime's calibrators read it."""

    def __init__(self, feeds: Iterator[dict[str, npt.NDArray[Any]]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        return next(self._feeds, None)


def _feeds(data: npt.NDArray[Any], name: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
    return ({name: batch} for batch in batches(data))


def _least_error(
    ranges: Mapping[str, tuple[float, float]], path: Path, data: npt.NDArray[Any], *, error: Error
) -> dict[str, tuple[float, float]]:
    """For each tensor the range of least error, found on its histogram."""
    counts = {name: np.zeros(_BINS) for name in ranges}
    for name, values in _activations(path, list(ranges), data):
        low, high = ranges[name]
        counts[name] += np.histogram(values, bins=_BINS, range=(low, max(high, low + 1e-12)))[0]
    return {name: best_range(counts[name], *ranges[name], error=error) for name in ranges}


def best_range(counts: Floats, low: float, high: float, *, error: Error | None = None) -> tuple[float, float]:
    """The part of (low, high) whose 256 steps have the least error, squared unless given, for a histogram of equal
    bins."""
    low, high = min(low, 0.0), max(high, 0.0)
    if not counts.sum() or high - low <= 0:
        return low, high
    edges = np.linspace(low, high, len(counts) + 1)
    values = (edges[:-1] + edges[1:]) / 2
    counts = _without_spike(counts, at=int(np.argmin(np.abs(values))))
    # an end is cut only where it lies beyond the limit, so that an outlier on one side leaves the other alone
    limits = _SHARES * max(-low, high)
    parts = [(float(max(low, -limit)), float(min(high, limit))) for limit in limits]
    errors = []
    for start, end in parts:
        step = (end - start) / 255
        zero = np.rint(-start / step)
        steps = np.clip(np.rint(values / step) + zero, 0, 255)
        clipped = (values < start) | (values > end)
        errors.append((error or _squared)(counts, values - (steps - zero) * step, steps.astype(np.int64), clipped))
    return parts[int(np.argmin(errors))]


def _without_spike(counts: Floats, *, at: int) -> Floats:
    """A histogram without the many zeros that a ReLU gives: every range holds zero exactly, so they cost nothing."""
    beside = counts[max(0, at - 1) : at + 2].copy()
    beside[min(at, 1)] = 0
    changed = counts.copy()
    changed[at] = min(changed[at], beside.max())
    return changed


def _squared(counts: Floats, missed: Floats, steps: Steps, clipped: Mask) -> float:
    """The squared error of rounding and clipping."""
    del steps, clipped
    return float((counts * missed**2).sum())


def _divergence(counts: Floats, missed: Floats, steps: Steps, clipped: Mask) -> float:
    """How far the values, those beyond the range at its ends, diverge from what their steps alone tell of them.

    A step's values are spread evenly over those of its bins in which there are any (Kullback-Leibler, in nats).
    """
    del missed
    inside = np.flatnonzero(~clipped)
    seen = counts[inside]
    if not seen.sum():
        return float("inf")
    wanted = seen.copy()
    wanted[0] += counts[: inside[0]].sum()
    wanted[-1] += counts[inside[-1] + 1 :].sum()
    held = np.bincount(steps[inside], weights=seen, minlength=256)
    bins = np.bincount(steps[inside], weights=seen > 0, minlength=256)
    spread = np.where(seen > 0, (held / np.maximum(bins, 1))[steps[inside]], 0.0)
    wanted, spread = (one / one.sum() + _NEARLY_NONE for one in (wanted, spread))
    return float((wanted * np.log(wanted / spread)).sum())


ERRORS: Mapping[str, Error] = {"mse": _squared, "entropy": _divergence}
"""What the methods that look for a range make small."""


def _activations(path: Path, names: list[str], data: npt.NDArray[Any]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Every tensor's values, batch after batch."""
    model = onnx.load(str(path))
    given = {one.name for one in model.graph.input}
    there = {one.name for one in model.graph.output}
    made = {name for node in model.graph.node for name in node.output}
    wanted = [name for name in names if name in made]
    for name in wanted:
        if name not in there:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    watched = path.with_suffix(".watched.onnx")
    onnx.save(model, str(watched))
    session = opened(watched, quiet_options())
    entry = session.get_inputs()[0].name
    for batch in batches(data, size=16):
        yield from ((name, batch) for name in names if name in given)
        yield from zip(wanted, session.run(wanted, {entry: batch}), strict=True)
