"""Latency of a network that was never run: look-ups added up, and corrected by what whole networks took.

Look-up tables per operation: Cai et al., "ProxylessNAS", ICLR 2019. Their sum is off by what lies between operations:
fusions across units, caches. Whole networks say by which factor; it leaves the order of the sums as it is.
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
from netwright.evaluation.latency_table import LatencyTable, read_table, stamp_of
from netwright.evaluation.latency_units import Unit, units_of
from netwright.search_spaces.graph import LayerGraph

LEAST_NETWORKS = 8
"""With fewer whole networks the sum of the look-ups is the prediction."""
LEAST_OF_KIND = 4
"""With fewer units of one kind, sizes of a new one are judged by units of all kinds."""
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Prediction:
    """A network's predicted latency; `lookup_ms` is the sum before the factor, with the call itself."""

    latency_ms: float
    lookup_ms: float
    units: int
    extrapolated: int


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
        units = units_of(graph)
        guesses = [unit for unit in units if unit.key not in self._known]
        lookup = self.table.call_ms + sum(self._known.get(u.key) or 0.0 for u in units) + sum(map(self.guess, guesses))
        return Prediction((self.table.factor or 1.0) * lookup, lookup, len(units), len(guesses))

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


def fit_factor(lookups_ms: np.ndarray, latencies_ms: np.ndarray) -> float:
    """What the sums of look-ups are to be multiplied by: the median of the ratios, which a few wrong times do not move.

    Maps with more weights (of MACs, bytes moved, units) had smaller errors on the networks they were fitted to and
    ranked others worse, as a few dozen networks do not determine them.
    """
    return float(np.median(latencies_ms / lookups_ms))


def held_out(lookups_ms: np.ndarray, latencies_ms: np.ndarray, *, seed: int) -> np.ndarray:
    """What is predicted of each network with a factor fitted to the networks of the other folds, [networks] in ms."""
    count = len(latencies_ms)
    order = np.random.default_rng(derive_seed(seed, "folds")).permutation(count)
    found = np.empty(count)
    for fold in range(min(FOLDS, count)):
        out = order[fold::FOLDS]
        rest = np.setdiff1d(order, out)
        found[out] = fit_factor(lookups_ms[rest], latencies_ms[rest]) * lookups_ms[out]
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
    """The table with the factor of its networks, and the errors on networks that were held out.

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
        return table.model_copy(update={"accuracy": accuracy, "factor": None})
    lookups = np.array([table.networks[place].lookup_ms for place in used])
    measured = np.array([table.networks[place].latency_ms for place in used])
    predicted = held_out(lookups, measured, seed=table.seed)
    accuracy["held_out"] = agreement(predicted, measured)
    accuracy["sum_of_lookups"] = agreement(lookups, measured)
    accuracy["macs_alone"] = _ranks(np.array([float(table.networks[place].macs) for place in used]), measured)
    networks = list(table.networks)
    for place, value in zip(used, predicted, strict=True):
        networks[place] = networks[place].model_copy(update={"held_out_ms": float(value)})
    factor = fit_factor(lookups, measured)
    return table.model_copy(update={"accuracy": accuracy, "factor": factor, "networks": tuple(networks)})


def _ranks(values: np.ndarray, measured: np.ndarray) -> Mapping[str, Any]:
    found = agreement(values, measured)
    return {"spearman": found["spearman"], "kendall": found["kendall"]}
