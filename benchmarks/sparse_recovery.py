"""Learned iterations against plain ones: 500 unknowns of which one in ten is not zero, from 250 measurements.

python benchmarks/sparse_recovery.py              minutes on one core
python benchmarks/sparse_recovery.py --steps 200  a shorter training

The setting is that of Chen et al., 2018: a Gaussian matrix with columns of length 1, unknowns that are zero or
normal (Bernoulli-Gaussian, 10 %), no noise; the error is 10 log10(E |x - x'|^2 / E |x|^2), in dB. The network is a
point of the space `unfolded`: 16 iterations with one learned matrix, that begin as ISTA's and go on from the last
two results as FISTA's do.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.space import SearchSpace

MEASUREMENTS, UNKNOWNS, SHARE = 250, 500, 0.1
ITERATIONS = 16
THRESHOLDS = (0.4, 0.2, 0.1, 0.05, 0.02, 0.01)
TESTED, BATCH = 1000, 64


def matrix() -> torch.Tensor:
    """A Gaussian matrix with columns of length 1, (measurements, unknowns)."""
    drawn = torch.randn(MEASUREMENTS, UNKNOWNS, generator=torch.Generator().manual_seed(0))
    lengths: torch.Tensor = drawn.norm(dim=0)
    return drawn / lengths


def unknowns(count: int, random: torch.Generator) -> torch.Tensor:
    """Sparse vectors, (count, unknowns)."""
    values = torch.randn(count, UNKNOWNS, generator=random)
    return values * (torch.rand(count, UNKNOWNS, generator=random) < SHARE)


def error_db(found: torch.Tensor, true: torch.Tensor) -> float:
    """The mean square error as a share of the mean square, in dB."""
    return 10 * math.log10(float((found - true).square().sum() / true.square().sum()))


def plain(a: torch.Tensor, y: torch.Tensor, *, threshold: float, momentum: bool) -> torch.Tensor:
    """16 iterations of ISTA, or of FISTA (Beck & Teboulle, 2009)."""
    step = 1 / float(torch.linalg.matrix_norm(a, 2)) ** 2
    x = last = torch.zeros(len(y), UNKNOWNS)
    t = 1.0
    for _ in range(ITERATIONS):
        moved = x + step * (y - x @ a.T) @ a
        shrunk = torch.nn.functional.softshrink(moved, threshold * step)
        t, before = (1 + math.sqrt(1 + 4 * t * t)) / 2, t
        x = shrunk + ((before - 1) / t if momentum else 0.0) * (shrunk - last)
        last = shrunk
    return last


def learned(a: torch.Tensor, kind: str, *, tied: bool, momentum: bool, steps: int, rate: float) -> torch.nn.Module:
    """A network of the space, trained on vectors that are drawn anew in every step."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "problem.npz"
        np.savez(file, A=a.numpy())
        settings = {"kinds": [kind], "ties": [tied], "thresholds": ["each"], "momenta": [momentum]}
        space = build("space", {"kind": "unfolded", "iterations": [16, 16], "operator": f"{file}:A", **settings})
        assert isinstance(space, SearchSpace)
        decisions = next(space.enumerate())
        model = space.build(decisions, Shapes((MEASUREMENTS,), (UNKNOWNS,)))
    random = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    for _ in range(steps):
        x = unknowns(BATCH, random)
        loss = (model(x @ a.T) - x).square().sum() / x.square().sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def main() -> None:
    """Print the error of every method on the same test vectors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800, help="steps of training")
    parser.add_argument("--kind", default="lista_cp", choices=("lista", "lista_cp"))
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument(
        "--tied", action=argparse.BooleanOptionalAction, default=True, help="the same weights in all iterations"
    )
    parser.add_argument(
        "--momentum",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on from the last two results, as FISTA",
    )
    arguments = parser.parse_args()
    a = matrix()
    x = unknowns(TESTED, torch.Generator().manual_seed(2))
    y = x @ a.T
    best = {}
    for name, momentum in (("ISTA", False), ("FISTA", True)):
        errors = {lam: error_db(plain(a, y, threshold=lam, momentum=momentum), x) for lam in THRESHOLDS}
        threshold = min(errors, key=errors.__getitem__)
        best[name] = errors[threshold]
        print(f"{name:10} {best[name]:7.2f} dB  16 iterations, the best threshold of {len(errors)}: {threshold}")
    start = time.perf_counter()
    how = {"tied": arguments.tied, "momentum": arguments.momentum}
    model = learned(a, arguments.kind, steps=arguments.steps, rate=arguments.rate, **how)
    with torch.inference_mode():
        found = error_db(model(y), x)
    seconds = time.perf_counter() - start
    print(f"{arguments.kind:10} {found:7.2f} dB  16 iterations, {arguments.steps} steps of training in {seconds:.0f} s")
    print(f"better than FISTA by {best['FISTA'] - found:.2f} dB")


if __name__ == "__main__":
    main()
