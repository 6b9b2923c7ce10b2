"""How much a result depends on the seed: means of repeated trainings, and the noise they show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from math import inf, sqrt
from statistics import fmean, quantiles, variance
from typing import Any

from netwright.core.records import Measurement, Trial


def mean_of(found: Sequence[Measurement]) -> Measurement:
    """The mean of one metric over repeated trainings, with the inter-quartile range as its spread.

    All values go to the protocol. One that is missing makes the mean missing, for its reason.
    """
    for one in found:
        if one.value is None:
            return one
    values = [one.value for one in found if one.value is not None]
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (0.0, 0.0, 0.0)
    protocol = {**found[0].protocol, "repeats": len(values), "values": values}
    return dataclasses.replace(found[0], value=fmean(values), spread=high - low, protocol=protocol)


def noise_of(trials: Iterable[Trial]) -> dict[str, Any]:
    """The standard deviation of one training, for each metric that was repeated, pooled over the trials.

    Differences below about twice `std` between two single trainings tell nothing.
    """
    groups: dict[str, list[Sequence[float]]] = {}
    for trial in trials:
        for name, measured in trial.measurements.items():
            values = measured.protocol.get("values")
            if measured.protocol.get("repeats", 0) > 1 and values is not None:
                groups.setdefault(name, []).append(values)
    found = {}
    for name, repeats in groups.items():
        freedom = sum(len(values) - 1 for values in repeats)
        pooled = sum(variance(values) * (len(values) - 1) for values in repeats) / freedom
        found[name] = {"std": sqrt(pooled), "trials": len(repeats), "trainings": sum(map(len, repeats))}
    return found


def interval_of_mean(values: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float, float]:
    """The mean, and the interval that holds the true mean by Student's t; endless for a single value."""
    mean = fmean(values)
    if len(values) < 2:
        return mean, -inf, inf
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * sqrt(variance(values) / len(values))
    return mean, mean - half, mean + half
