"""Weight sharing: each layer's weights take a few values only, found by k-means and then trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from netwright.compression.compression_pass import Pass, Verdict
from netwright.core.errors import CompressionError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netwright.compression.context import Context
    from netwright.compression.model import Model, Note

MOST_BITS = 8
Bits = Annotated[int, Field(ge=1, le=MOST_BITS)]


class ShareWeights(Pass):
    """Replace the weights of each layer by a codebook of 2^bits values: fewer bytes once entropy-coded.

    k-means with the linear start and trained centroids of Han et al., ICLR 2016. Zeros stay zero and take no place
    in the codebook.
    """

    trains: ClassVar[bool] = True
    gains: ClassVar[tuple[str, ...]] = ("coded_bytes",)

    bits: Bits = Field(default=5, description="2^bits values per layer besides zero")
    layer_bits: dict[str, Bits] = Field(
        default={}, description="bits of their own for some layers or parameters, path: bits"
    )
    layer_drop: float | None = Field(
        default=None,
        ge=0,
        description="take fewer bits wherever a layer alone then costs no more than this of the validation score",
    )
    start: Literal["linear", "density", "random"] = Field(
        default="linear", description="first centroids: evenly spread, evenly filled, or drawn from the weights"
    )
    biases: bool = Field(default=False, description="share the values of biases and norms too")
    epochs: int | None = Field(default=None, ge=0, description="epochs of training; default: the recipe's; 0 for none")
    learning_rate: float | None = Field(default=None, gt=0, description="default: the recipe's")
    distill: bool = Field(default=True, description="let the original network teach")
    ignore: tuple[str, ...] = Field(default=(), description="paths of layers or parameters to leave alone")

    def milder(self) -> ShareWeights | None:
        """The same pass with one bit more per layer; None where that would be more than it can."""
        if max([self.bits, *self.layer_bits.values()]) >= MOST_BITS:
            return None
        more = {path: bits + 1 for path, bits in self.layer_bits.items()}
        return self.parse({**self.model_dump(mode="json"), "bits": self.bits + 1, "layer_bits": more})

    def check(self, model: Model, context: Context) -> list[Verdict]:
        del context
        names, refused = self._found(model)
        most = self._most(model.module, names)
        verdicts = [Verdict(n, True, f"{model.module.get_parameter(n).numel()} weights, {most[n]} bits") for n in names]
        verdicts += [Verdict(name, False, reason) for name, reason in refused.items()]
        return verdicts or [Verdict("", False, "it has no weights to share")]

    def apply(self, model: Model, context: Context) -> Model:
        from netwright.compression.forms.shared import Shared

        names, refused = self._found(model)
        if not names:
            reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
            raise CompressionError(f"no weight can be shared ({reasons or 'there is none'})")
        module = copy.deepcopy(model.module)
        bits = self._bits(module, names, context)
        for name in names:
            parameter = module.get_parameter(name)
            parameter.data.copy_(self._shared(parameter.detach(), bits[name], context.seed))
        forms = {name: Shared(values=2 ** bits[name] + 1) for name in names}
        module = context.fine_tune(
            module,
            purpose="share_weights",
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            distill=self.distill,
            forms={**model.forms, **forms},
        )
        notes = _notes(model.module, module, bits, refused)
        return model.with_module(module, notes, forms=forms)

    def _found(self, model: Model) -> tuple[list[str], dict[str, str]]:
        from netwright.compression.sharing import find_shareable
        from netwright.compression.sparsity import names_to_paths

        ignored = names_to_paths(model.module, self.ignore, field="ignore")
        without = [name for names in ignored.values() for name in names]
        return find_shareable(model.module, biases=self.biases, ignored=without, forms=model.forms)

    def _most(self, module: nn.Module, names: list[str]) -> dict[str, int]:
        from netwright.compression.sparsity import names_to_paths

        found = names_to_paths(module, self.layer_bits, field="layer_bits")
        own = {name: self.layer_bits[one] for one, several in found.items() for name in several}
        return {name: own.get(name, self.bits) for name in names}

    def _bits(self, module: nn.Module, names: list[str], context: Context) -> dict[str, int]:
        """Bits by parameter name, found by trying where a drop is allowed."""
        from netwright.compression.sharing import fewest_bits

        most = self._most(module, names)
        if self.layer_drop is None:
            return most
        score = context.task.primary()
        return fewest_bits(
            module,
            names,
            most=most,
            change=lambda tensor, bits: self._shared(tensor, bits, context.seed),
            loss=lambda changed: score.loss(context.evaluate(changed)[score.metric]),
            allowed=self.layer_drop,
        )

    def _shared(self, tensor: torch.Tensor, bits: int, seed: int) -> torch.Tensor:
        from netwright.compression.sharing import shared

        return shared(tensor, bits=bits, start=self.start, seed=seed)


def _notes(before: nn.Module, after: nn.Module, bits: dict[str, int], refused: dict[str, str]) -> list[Note]:
    import torch

    from netwright.compression.model import Note

    most = 2 ** max(bits.values())
    tensors = f"{len(bits)} of {len(bits) + len(refused)} weight tensors"
    normed = any(isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) for layer in after.modules())
    next_to_do = (
        "the export multiplies batch norms into them, which makes more values of them: put fold before this pass"
        if normed
        else "entropy_code writes them in fewer bytes"
    )
    told = f"{tensors} hold at most {most} values besides zero; {next_to_do}"
    notes = [Note("share_weights", "", "shared", told)]
    for name, count in bits.items():
        old, new = before.get_parameter(name).detach(), after.get_parameter(name).detach()
        values = len(torch.unique(new[new != 0]))
        was = len(torch.unique(old[old != 0]))
        notes.append(Note("share_weights", name, "shared", f"{was} → {values} values besides zero, {count} bits"))
    return notes + [Note("share_weights", name, "left alone", why) for name, why in refused.items()]
