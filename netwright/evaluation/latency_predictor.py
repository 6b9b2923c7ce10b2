"""Latency of a network that was never run: look-ups added up, and corrected by what whole networks took.

Look-up tables per operation: Cai et al., "ProxylessNAS", ICLR 2019. Their sum is off by what lies between operations;
the correction, a ridge regression drawn towards the sum, is our own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from netwright.core.errors import NetwrightError
from netwright.core.seeds import derive_seed
from netwright.evaluation.latency_table import Correction, LatencyTable, read_table, stamp_of
from netwright.evaluation.latency_units import Unit, units_of
from netwright.search_spaces.cost import peak_activation_bytes
from netwright.search_spaces.graph import LayerGraph

FEATURES = ("lookup_ms", "units", "macs", "moved_bytes", "peak_activation_bytes", "params")
LEAST_NETWORKS = 8
"""With fewer whole networks the sum of the look-ups is the prediction."""
LEAST_OF_KIND = 4
"""With fewer units of one kind, sizes of a new one are judged by units of all kinds."""
RIDGES = tuple(float(x) for x in np.logspace(-4, 4, 17))
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Prediction:
    """A network's predicted latency; `lookup_ms` is the sum before the correction, with the call itself."""

    latency_ms: float
    lookup_ms: float
    units: int
    extrapolated: int
    features: tuple[float, ...]


@dataclass(frozen=True)
class LatencyPredictor:
    """Predicts from a table; raises NetwrightError when the table is empty."""

    table: LatencyTable
    _known: dict[str, float] = field(default_factory=dict, repr=False)
    _guessed: dict[str, float] = field(default_factory=dict, repr=False)
    _fits: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        by_kind: dict[str, list[tuple[Unit, float]]] = defaultdict(list)
        for entry in self.table.entries:
            unit = entry.unit
            self._known[unit.key] = entry.latency_ms
            by_kind[unit.kind].append((unit, entry.latency_ms))
            by_kind[""].append((unit, entry.latency_ms))
        if not self._known:
            raise NetwrightError(f"the latency table of {self.table.device} is empty; build it again")
        for kind, known in by_kind.items():
            if len(known) >= LEAST_OF_KIND or not kind:
                self._fits[kind] = fit_sizes([u for u, _ in known], [ms for _, ms in known])

    def predict(self, graph: LayerGraph) -> Prediction:
        """The latency of a network, and of how many of its units it is only a guess."""
        found = self.summed(graph)
        if self.table.correction is None:
            return found
        value = float(np.dot(self.table.correction.weights, found.features))
        # a linear map may leave the range of what it was fitted to; no network is faster than its call
        value = max(value, 0.2 * found.lookup_ms, self.table.call_ms)
        return Prediction(value, found.lookup_ms, found.units, found.extrapolated, found.features)

    def summed(self, graph: LayerGraph) -> Prediction:
        """The sum of the look-ups without the correction."""
        units = units_of(graph)
        guesses = [unit for unit in units if unit.key not in self._known]
        lookup = self.table.call_ms + sum(self._known.get(u.key) or 0.0 for u in units) + sum(map(self.guess, guesses))
        features = (
            lookup,
            float(len(units)),
            float(sum(unit.macs for unit in units)),
            float(sum(unit.moved_bytes for unit in units)),
            float(peak_activation_bytes(graph)),
            float(sum(unit.params for unit in units)),
        )
        return Prediction(lookup, lookup, len(units), len(guesses), features)

    def guess(self, unit: Unit) -> float:
        """The latency in ms of a unit that is not in the table, from its sizes and units of its kind."""
        if unit.key not in self._guessed:
            weights = self._fits.get(unit.kind, self._fits[""])
            self._guessed[unit.key] = float(np.dot(_sizes(unit), weights))
        return self._guessed[unit.key]


def predictor_of(path: Path) -> LatencyPredictor:
    """The predictor of a table's file, kept while the file does not change; raises NetwrightError."""
    return _predictor(Path(path).absolute(), stamp_of(path))


@lru_cache(maxsize=4)
def _predictor(path: Path, stamp: tuple[int, int]) -> LatencyPredictor:
    del stamp
    return LatencyPredictor(read_table(path))


def fit_sizes(units: Sequence[Unit], latencies_ms: Sequence[float]) -> np.ndarray:
    """Weights of [1, MACs, bytes moved, parameters] that give the latencies with the least relative error, none < 0."""
    from scipy.optimize import nnls

    sizes = np.array([_sizes(unit) for unit in units])
    measured = np.array(latencies_ms)
    # what is below a microsecond is judged by its absolute error
    weights = 1.0 / np.maximum(measured, 1e-3)
    rows = sizes * weights[:, None]
    scale = np.maximum(np.abs(rows).max(axis=0), 1e-12)
    solution, _ = nnls(rows / scale, measured * weights)
    return np.asarray(solution / scale)


def size_errors(units: Sequence[Unit], latencies_ms: Sequence[float]) -> np.ndarray:
    """Relative error of each unit's guess by the other units of its kind; those under a microsecond left out."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        by_kind[unit.kind].append(place)
    errors = []
    for places in by_kind.values():
        if len(places) <= LEAST_OF_KIND:
            continue
        for place in places:
            others = [other for other in places if other != place]
            weights = fit_sizes([units[o] for o in others], [latencies_ms[o] for o in others])
            if latencies_ms[place] >= 1e-3:
                errors.append(abs(float(np.dot(_sizes(units[place]), weights)) / latencies_ms[place] - 1))
    return np.array(errors)


def _sizes(unit: Unit) -> tuple[float, float, float, float]:
    return (1.0, float(unit.macs), float(unit.moved_bytes), float(unit.params))


def fit_correction(features: np.ndarray, latencies_ms: np.ndarray) -> Correction:
    """The linear map [networks, features] -> ms with the least relative error, drawn towards the plain sum.

    Ridge regression whose penalty is on the difference to "the sum of the look-ups, unchanged". Its strength is the
    greatest whose leave-one-out error is within one standard error of the least (Breiman et al., 1984), so that with
    little evidence, or with noise, the map is the plain sum.
    """
    rows = features / latencies_ms[:, None]
    scale = np.maximum(np.sqrt((rows**2).mean(axis=0)), 1e-12)
    rows = rows / scale
    prior = np.zeros(rows.shape[1])
    prior[0] = scale[0]
    target = 1.0 - rows @ prior
    tried: list[tuple[np.ndarray, np.ndarray]] = []
    for ridge in RIDGES:
        inverse = np.linalg.inv(rows.T @ rows + ridge * np.eye(rows.shape[1]))
        weights = inverse @ rows.T @ target
        leverage = np.einsum("ij,jk,ik->i", rows, inverse, rows)
        tried.append((weights, ((target - rows @ weights) / np.maximum(1 - leverage, 1e-6)) ** 2))
    best = min((errors for _, errors in tried), key=np.mean)
    # the standard error of an exact fit is zero, and rounding must not decide
    most = best.mean() + best.std(ddof=1) / np.sqrt(len(best)) + 1e-12
    chosen = max(place for place, (_, errors) in enumerate(tried) if errors.mean() <= most)
    found = (prior + tried[chosen][0]) / scale
    return Correction(features=FEATURES, weights=tuple(float(w) for w in found), ridge=RIDGES[chosen])


def held_out(features: np.ndarray, latencies_ms: np.ndarray, *, seed: int) -> np.ndarray:
    """What is predicted of each network by a correction fitted to the networks of the other folds, [networks] in ms."""
    count = len(latencies_ms)
    order = np.random.default_rng(derive_seed(seed, "folds")).permutation(count)
    found = np.empty(count)
    for fold in range(min(FOLDS, count)):
        out = order[fold::FOLDS]
        rest = np.setdiff1d(order, out)
        weights = np.array(fit_correction(features[rest], latencies_ms[rest]).weights)
        found[out] = np.maximum(features[out] @ weights, 0.2 * features[out, 0])
    return found


def agreement(predicted: np.ndarray, measured: np.ndarray) -> dict[str, Any]:
    """Relative errors (median, 90th percentile) and rank correlations (Spearman, Kendall) of predictions."""
    from scipy.stats import kendalltau, spearmanr

    errors = np.abs(predicted / measured - 1)
    ranked = len(set(predicted.tolist())) > 1 and len(set(measured.tolist())) > 1
    return {
        "median_error": float(np.median(errors)),
        "p90_error": float(np.quantile(errors, 0.9)),
        "spearman": float(spearmanr(predicted, measured).statistic) if ranked else None,
        "kendall": float(kendalltau(predicted, measured).statistic) if ranked else None,
    }


def corrected(table: LatencyTable) -> LatencyTable:
    """The table with its correction fitted to its networks, and the errors on networks that were held out.

    Networks whose time was NOISY are left out while enough others remain.
    """
    accuracy: dict[str, Any] = {"networks": len(table.networks)}
    units = [entry.unit for entry in table.entries]
    guessed = size_errors(units, [entry.latency_ms for entry in table.entries])
    if len(guessed):
        accuracy["unknown_unit_median_error"] = float(np.median(guessed))
    quiet = [place for place, network in enumerate(table.networks) if not network.noisy]
    used = quiet if len(quiet) >= LEAST_NETWORKS else list(range(len(table.networks)))
    accuracy["used"] = len(used)
    if len(used) < LEAST_NETWORKS:
        return table.model_copy(update={"accuracy": accuracy, "correction": None})
    features = np.array([table.networks[place].features for place in used])
    measured = np.array([table.networks[place].latency_ms for place in used])
    predicted = held_out(features, measured, seed=table.seed)
    macs = features[:, FEATURES.index("macs")]
    accuracy["held_out"] = agreement(predicted, measured)
    accuracy["sum_of_lookups"] = agreement(features[:, 0], measured)
    accuracy["macs_alone"] = _ranks(macs, measured)
    networks = list(table.networks)
    for place, value in zip(used, predicted, strict=True):
        networks[place] = networks[place].model_copy(update={"held_out_ms": float(value)})
    return table.model_copy(
        update={
            "accuracy": accuracy,
            "correction": fit_correction(features, measured),
            "networks": tuple(networks),
        }
    )


def _ranks(values: np.ndarray, measured: np.ndarray) -> Mapping[str, Any]:
    found = agreement(values, measured)
    return {"spearman": found["spearman"], "kendall": found["kendall"]}
