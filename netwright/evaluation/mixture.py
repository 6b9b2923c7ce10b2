"""Mixtures of proxies: a pool of networks ranked by several scores together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

MixtureRule = Literal["log_rank", "mean_rank"]


def mixture(scores: Sequence[Mapping[str, float] | None], *, rule: MixtureRule = "log_rank") -> list[float]:
    """One number in (-inf, 0] for each network of a pool, larger is better.

    Each score is turned into ranks over the pool, which makes scores of any size comparable. `log_rank` adds the
    logarithms of rank / number of networks, so that one bad rank weighs more than one good (Lee & Ham, 2024);
    `mean_rank` takes the mean of rank / number of networks, less 1. A network without scores (None) comes last, as
    one without this or that score does for that score.

    >>> mixture([{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}])[1]
    0.0
    """
    names = list(dict.fromkeys(name for score in scores if score is not None for name in score))
    totals = [0.0] * len(scores)
    for name in names:
        values = [-math.inf if score is None else score.get(name, -math.inf) for score in scores]
        for index, share in enumerate(rank_shares(values)):
            totals[index] += math.log(share) if rule == "log_rank" else (share - 1) / len(names)
    return [total if score is not None else total - len(names) for total, score in zip(totals, scores, strict=True)]


def rank_shares(values: Sequence[float]) -> list[float]:
    """The rank of every value from the smallest (1) up, over their number; equal values share their mean rank."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    shares = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            shares[place] = ((start + end) / 2 + 1) / len(values)
        start = end + 1
    return shares
