"""What a recipe would do to a network, without training: a dry run of its passes, with predicted costs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netwright.compression.compression_pass import Pass, Verdict
from netwright.compression.model import Model, Note
from netwright.compression.open_field import unique
from netwright.core.errors import (
    ConfigurationError,
    DataError,
    InterruptedRunError,
    MissingPackageError,
    NetwrightError,
)
from netwright.core.plugins import name_of, spec_of
from netwright.core.progress import say

if TYPE_CHECKING:
    from torch import nn

    from netwright.compression.context import Context

FIGURES = ("params", "macs", "size_bytes", "coded_bytes", "peak_activation_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One pass of a plan.

    `verdicts` say for each layer group whether the pass applies and why. `figures` are those of the network after
    the pass: of the module before any file is made (`size_bytes` then counts its tensors alone), of the file, or the
    archive made of it, afterwards; None where not known. `reason` says why the pass cannot be done; the figures are
    then unchanged.
    """

    name: str
    spec: Mapping[str, Any]
    trains: bool
    verdicts: tuple[Verdict, ...]
    notes: tuple[Note, ...]
    figures: Mapping[str, int | None]
    reason: str = ""

    def row(self) -> dict[str, Any]:
        """The plan of the pass as plain data."""
        touched = [verdict for verdict in self.verdicts if verdict.applies]
        return {
            "stage": self.name,
            **{name: self.figures.get(name) for name in FIGURES},
            "trains": self.trains,
            "groups": len(self.verdicts),
            "touched": len(touched),
            "reason": self.reason,
            "settings": dict(self.spec),
            "verdicts": [{"layer": v.layer, "applies": v.applies, "reason": v.reason} for v in self.verdicts],
            "notes": [note.to_json() for note in self.notes],
        }


def plan_passes(model: Model, passes: Sequence[Pass], context: Context) -> tuple[Planned, ...]:
    """The plan of passes in their order, beginning with the network as it is, as `original`.

    Nothing is trained and nothing is kept. What training would change, such as the values of weights, is not in the
    figures; structure, and so MACs, is, unless a pass reads it from weights, as ranks by energy are.
    Raises NetwrightError when the network itself cannot be counted.
    """
    with planned_model(model, passes, context) as (plan, _):
        return plan


@contextmanager
def planned_model(
    model: Model, passes: Sequence[Pass], context: Context
) -> Iterator[tuple[tuple[Planned, ...], Model]]:
    """The plan of passes and the untrained network they make, whose files are there inside the `with` alone."""
    with tempfile.TemporaryDirectory(prefix="netwright-plan-") as folder:
        dry = replace(context.without_training(), workspace=Path(folder))
        figures = figures_of(model, dry)
        first = Planned(name="original", spec={}, trains=False, verdicts=(), notes=(), figures=figures)
        found = [first]
        for number, one in enumerate(passes):
            name = unique(name_of(one), [planned.name for planned in found])
            say(context.listener, f"planning pass {number + 1} of {len(passes)}: {name}")
            planned, model = _planned(one, name, model, dry, found[-1].figures)
            found.append(planned)
        yield tuple(found), model


def figures_of(model: Model, context: Context) -> dict[str, int | None]:
    """The costs that are known of a model without running it: of its file if it has one, else of its module."""
    from netwright.evaluation.profile import profile
    from netwright.export.onnx_file import graph_cost

    if model.file is not None:
        cost = graph_cost(model.file)
        size = (model.archive or model.file).stat().st_size
        coded = model.archive.stat().st_size if model.archive is not None else None
    else:
        cost = profile(model.module, context.example_tensor()).cost
        tensors = [*model.module.parameters(), *model.module.buffers()]
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        held = {name: model.module.get_parameter(name) for name in model.forms}
        saved = sum(weight.numel() - model.forms[name].numbers(weight) for name, weight in held.items())
        cost, size = replace(cost, params=cost.params - saved), size - 4 * saved
        coded = coded_size(model.module) - 4 * saved + skeleton_size(model.module)
    return {
        "params": cost.params,
        "macs": cost.macs,
        "size_bytes": size,
        "coded_bytes": coded,
        "peak_activation_bytes": cost.peak_activation_bytes,
    }


def coded_size(module: nn.Module) -> int:
    """About the bytes that entropy coding makes of a module's parameters: where the common value is, and the rest.

    The rest is counted as floats or as indices into a codebook, whichever is less, each at its zeroth-order entropy.
    """
    return sum(_coded(one.detach().cpu().contiguous().numpy()) for one in module.parameters())


def skeleton_size(module: nn.Module) -> int:
    """About the bytes that an archive needs for all but the parameters: operations with their names, and headings.

    The names of a longer network repeat more. Fitted to exported networks of 4 to 60 operations, of which it is within
    a third; attention takes more.
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase

    leaves = [layer for layer in module.modules() if next(layer.children(), None) is None]
    silent = (_NormBase, nn.Identity, nn.Dropout)
    operations = sum(
        12 * layer.num_layers if isinstance(layer, nn.RNNBase) else not isinstance(layer, silent) for layer in leaves
    )
    tensors = sum(1 for _ in module.parameters())
    return int(175 * max(1, operations) ** 0.55) + 45 + 10 * tensors


def _coded(values: np.ndarray[Any, Any]) -> int:
    if not values.size:
        return 0
    counts = np.unique(values, return_counts=True)[1]
    common = counts.max()
    others = np.delete(counts, counts.argmax())
    rest = int(others.sum())
    book = _entropy_bits(others) + 8 * values.itemsize * len(others)
    bits = _entropy_bits(np.array([common, rest])) + min(book, 8.0 * values.itemsize * rest) + 8 * values.itemsize
    return int(min(bits / 8 + 1, values.nbytes))


def _entropy_bits(counts: np.ndarray[Any, Any]) -> float:
    """The bits of a stream in which symbols occur so often."""
    present = counts[counts > 0]
    return float((present * np.log2(present.sum() / present)).sum()) if present.size else 0.0


def _planned(
    one: Pass, name: str, model: Model, context: Context, before: Mapping[str, int | None]
) -> tuple[Planned, Model]:
    """The plan of one pass, and the model as it would be after it."""
    verdicts: tuple[Verdict, ...] = ()
    made, figures, reason = model, dict(before), ""
    try:
        verdicts = tuple(one.check(model, context))
        made = one.apply(model, context)
        figures = figures_of(made, context)
    except (InterruptedRunError, ConfigurationError, MissingPackageError, DataError):
        raise
    except NetwrightError as error:
        made, reason = model, str(error)
    planned = Planned(
        name=name,
        spec=spec_of(one),
        trains=one.trains,
        verdicts=verdicts,
        notes=made.notes[len(model.notes) :],
        figures=figures,
        reason=reason,
    )
    return planned, made
