"""Search space made of a network: its widths and depths, with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PrivateAttr

from netwright.core.cost import Cost
from netwright.core.errors import SpaceError
from netwright.core.files import content_hash
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.channels import ChannelMap, Group
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.choosers import ReplayChooser
from netwright.search_spaces.graph import GraphBuilder, LayerGraph, Tensor
from netwright.search_spaces.model_source import Source, source_of
from netwright.search_spaces.narrowing import add_narrowed
from netwright.search_spaces.residual import Block, Run, residual_runs
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import torch
    from torch import fx

    from netwright.search_spaces.inheritance import InheritingSupernet

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many units of each group are kept, and the residual blocks that are left out."""

    kept: Mapping[str, int]
    dropped: tuple[Block, ...]


class FromModel(SearchSpace):
    """Widths and depths of a network, your own or a landmark; its architectures inherit its weights.

    Layers whose channels meet in a sum or a product are narrowed together, the most important channels stay;
    of residual blocks in a row the first ones stay. In Python: `space_from_model(model, example)`.
    """

    model: str | dict[str, Any] = Field(
        default="landmark:cifar-resnet-20",
        description="package.module:function that makes the network, a .json file that `save` wrote, "
        "landmark:NAME, or a layer graph as data",
    )
    weights: str | None = Field(default=None, description="a .safetensors file with the network's trained weights")
    input: tuple[int, ...] | None = Field(
        default=None,
        description="shape of one input; needed where a network that a function makes takes none of the usual sizes",
    )
    widths: tuple[Share, ...] = Field(
        default=(0.25, 0.5, 0.75, 1.0), min_length=1, description="shares of a group's channels that may be kept"
    )
    round_to: int = Field(
        default=8, ge=1, description="channels come in multiples of this, of smaller powers of two in small groups"
    )
    depths: bool = Field(default=True, description="whether residual blocks may be left out")

    _live: Source | None = PrivateAttr(default=None)

    def decide(self, choose: Chooser) -> Plan:
        dropped: list[Block] = []
        for run in self.runs:
            depth = choose.integer(f"depth/{run.name}", 0, len(run.blocks))
            dropped += run.dropped(depth)
        alive = self._places({name for block in dropped for name in block.nodes})
        kept = {}
        for group in self.groups:
            if alive.intersection(group.producers):
                share = choose.one_of(f"width/{group.name}", self._shares(group.units))
                kept[group.name] = _units(group.units, float(share), self.round_to)
        return Plan(kept, tuple(dropped))

    def lower(self, plan: Plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
        graph, channels = self.network_at(shapes)
        return add_narrowed(net, graph, channels, kept=plan.kept, dropped=plan.dropped)

    def plan(self, decisions: Decisions) -> Plan:
        """What the decisions keep and leave out."""
        return self.decide(ReplayChooser(decisions))

    def build(self, decisions: Decisions, shapes: Shapes, *, seed: int = 0) -> fx.GraphModule:
        """The network of these decisions with the weights it inherits; drawn from `seed` where there are none."""
        state = self.trained_state()
        if state is None:
            return super().build(decisions, shapes, seed=seed)
        from netwright.search_spaces.inheritance import inherit

        return inherit(self, decisions, shapes, state)

    def inherit(self, decisions: Decisions, shapes: Shapes | None = None) -> fx.GraphModule:
        """The network of these decisions as a plain module with its part of the weights, in evaluation mode.

        Raises SpaceError when the network has no trained weights.
        """
        if self.trained_state() is None:
            raise SpaceError("there are no weights to inherit: the space has no trained network, give it `weights`")
        return self.build(decisions, shapes or self.shapes).eval()

    def identity(self, decisions: Decisions, shapes: Shapes) -> str:
        """A hash of the architecture and of the weights that it inherits."""
        return self.describe(decisions, shapes)[0]

    def describe(self, decisions: Decisions, shapes: Shapes) -> tuple[str, Cost]:
        """The identity and the cost, for the price of one."""
        identity, cost = super().describe(decisions, shapes)
        return self._with_weights(identity), cost

    def supernet(self, shapes: Shapes, *, seed: int = 0) -> InheritingSupernet:
        """The whole network with its weights, of which every architecture is a part."""
        from netwright.search_spaces.inheritance import InheritingSupernet

        return InheritingSupernet(self, shapes, seed=seed)

    def with_source(self, source: Source) -> FromModel:
        """The same settings for a network in memory, weights included."""
        space = self.model_copy()
        space._live = source
        return space

    def save(self, folder: Path | str) -> FromModel:
        """Write the network and its weights to a folder; gives back the space that reads them from there.

        It needs neither the code that made the network nor, to decide and to count, torch.
        """
        from netwright.search_spaces.model_source import write_source

        model, weights = write_source(self._source, Path(folder))
        return FromModel(model=model, weights=weights, widths=self.widths, round_to=self.round_to, depths=self.depths)

    def examples(self) -> list[Shapes]:
        """The shapes of the network as it is; of a landmark all example shapes that it can serve."""
        return super().examples() if self._source.landmark else [self.shapes]

    @property
    def shapes(self) -> Shapes:
        """What the network takes and gives as it is."""
        graph = self._source.graph
        output = graph.shape_of(graph.output)
        return Shapes(graph.input_shape, output[0] if len(output) == 1 else output)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups of channels that may be narrowed."""
        return self._source.channels.groups

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs of residual blocks that may be left out."""
        return residual_runs(self._source.graph) if self.depths else ()

    def network_at(self, shapes: Shapes) -> tuple[LayerGraph, ChannelMap]:
        """The whole network for an input, with its channels; raises ShapeError when it cannot serve it."""
        return self._source.at(shapes)

    def trained_state(self) -> Mapping[str, torch.Tensor] | None:
        """The trained weights by their names in the compiled network, or None."""
        return self._source.state()

    def orders(self) -> Mapping[str, tuple[int, ...]] | None:
        """The units of every group, the most important first; None without trained weights."""
        return self._source.orders()

    @cached_property
    def _source(self) -> Source:
        return self._live or source_of(self.model, self.weights, self.input)

    def _with_weights(self, identity: str) -> str:
        # the same architecture with other weights to begin with is another candidate
        fingerprint = self._source.fingerprint
        return content_hash([identity, fingerprint])[: len(identity)] if fingerprint else identity

    def _places(self, gone: set[str]) -> set[str]:
        """The places of the layers that are left when these nodes are gone."""
        return {node.weights for node in self._source.graph.nodes if node.name not in gone}

    def _shares(self, units: int) -> tuple[float, ...]:
        """The shares that give different numbers of channels; of equal ones the largest."""
        by_units = {_units(units, share, self.round_to): share for share in sorted(self.widths)}
        return tuple(by_units.values())


@lru_cache(maxsize=4096)
def _units(units: int, share: float, round_to: int) -> int:
    """A share of so many channels, in steps of `round_to` or of a power of two that fits at least twice."""
    wanted = units * share
    steps = [2**power for power in range(round_to.bit_length()) if 2**power < round_to]
    step = max([1, *(s for s in [*steps, round_to] if 2 * s <= wanted)])
    return units if share == 1 else min(units, max(1, step * int(wanted / step + 0.5)))
