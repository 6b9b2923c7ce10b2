"""The search space: plain Python that asks a chooser, and lowers the answers to a layer graph."""

from __future__ import annotations

import json
import random
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from netwright.core.cost import Cost
from netwright.core.errors import NetwrightError, ShapeError, SpaceError
from netwright.core.own_code import own_place
from netwright.core.plugins import Plugin, name_of
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.canonical import simplify
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.choosers import (
    CrossoverChooser,
    MutateChooser,
    RandomChooser,
    ReplayChooser,
    enumerate_decisions,
)
from netwright.search_spaces.cost import cost
from netwright.search_spaces.digest import cost_of, digest_of, written_digest_of
from netwright.search_spaces.domain import Value
from netwright.search_spaces.graph import GraphBuilder, LayerGraph, Tensor, flatten
from netwright.search_spaces.outline import Layer, Outline

if TYPE_CHECKING:
    from torch import fx, nn

    from netwright.search_spaces.supernet import Supernet

ATTEMPTS = 1000
PLAIN_NAME = re.compile(r'[^\s="]+')
EXAMPLE_GENOTYPE = 'depth=2 layer1/kernel=3 activation="relu"'


class SearchSpace(Plugin):
    """A set of architectures; its fields are its settings.

    A subclass writes two methods. `decide` asks the chooser and returns a plan, any value it likes.
    `lower` turns that plan into operations for a task's shapes. All else follows from these two.

    >>> class Mlp(SearchSpace):                                        # doctest: +SKIP
    ...     def decide(self, choose):
    ...         depth = choose.integer("depth", 1, 3)
    ...         return [choose.one_of(f"width{i}", (16, 32)) for i in range(depth)]
    ...     def lower(self, plan, net, shapes):
    ...         x = net.add(Flatten(), net.input)
    ...         for width in plan:
    ...             x = net.chain(x, Linear(features=width), Activation())
    ...         return net.add(Linear(features=shapes.classes), x)
    """

    example_inputs: ClassVar[tuple[Shapes, ...]] = (
        Shapes((1, 28, 28), 10),
        Shapes((3, 32, 32), 10),
        Shapes((20, 6), 4),
        Shapes((33, 2), 3),
    )
    """Shapes that a space is tried with; those it cannot serve are passed over, see `examples`."""

    small: ClassVar[Mapping[str, Any]] = {}
    """Settings of a small version, for quick trials of everything where the default's networks are large."""

    @property
    def keeps_dead(self) -> bool:
        """Whether operations that cannot reach the output are built and counted, as a published table did."""
        return False

    @abstractmethod
    def decide(self, choose: Chooser) -> Any:
        """Ask for every decision and return the plan that they make."""

    @abstractmethod
    def lower(self, plan: Any, net: GraphBuilder, shapes: Shapes) -> Tensor:
        """Add the plan's operations to `net` and return the network's output."""

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Decisions drawn at random."""
        return self._first_allowed(lambda: RandomChooser(rng))

    def mutate(self, decisions: Decisions, rng: random.Random) -> dict[str, Any]:
        """Decisions that differ from the given ones in one active decision, and in what hangs on it.

        Raises SpaceError when the space leaves no other choice.
        """
        domains = self.trace(decisions).domains
        open_names = [name for name, domain in domains.items() if domain.size > 1]
        if not open_names:
            raise SpaceError("nothing can be changed: every decision of this architecture has one option")
        return self._first_allowed(lambda: MutateChooser(decisions, rng.choice(open_names), rng))

    def crossover(self, left: Decisions, right: Decisions, rng: random.Random) -> dict[str, Any]:
        """Decisions each taken from one of two parents."""
        return self._first_allowed(lambda: CrossoverChooser(left, right, rng))

    def trace(self, decisions: Decisions) -> ReplayChooser:
        """The chooser that replayed the decisions: its `domains` say what each could have been.

        Raises SpaceError when a decision is missing, not allowed, or never asked for.
        """
        chooser = ReplayChooser(decisions)
        self.decide(chooser)
        chooser.check_all_used()
        return chooser

    def graph(self, decisions: Decisions, shapes: Shapes) -> LayerGraph:
        """The layer graph for these decisions, without operations that cannot matter (see `keeps_dead`).

        Raises SpaceError for decisions that are not of this space, ShapeError when the input does not fit.
        """
        raw = self.raw_graph(decisions, shapes)
        return raw if self.keeps_dead else simplify(raw)

    def cost(self, decisions: Decisions, shapes: Shapes) -> Cost:
        """Parameters, multiply-accumulates and peak activation memory, without building anything."""
        return self._cost(self.outline(decisions, shapes), shapes)

    def describe(self, decisions: Decisions, shapes: Shapes) -> tuple[str, Cost]:
        """The identity and the cost, for the price of one.

        Raises SpaceError for decisions that are not of this space, ShapeError when the input does not fit.
        """
        outline = self.outline(decisions, shapes)
        return digest_of(outline).key, self._cost(outline, shapes)

    def counted(self, cost: Cost, shapes: Shapes) -> Cost:
        """The cost as this space reports it; one that stands for a published table counts as that does."""
        del shapes
        return cost

    def raw_graph(self, decisions: Decisions, shapes: Shapes) -> LayerGraph:
        """The layer graph exactly as `lower` wrote it, dead operations included."""
        return flatten(self.outline(decisions, shapes))

    def outline(self, decisions: Decisions, shapes: Shapes) -> Outline:
        """The network as `lower` wrote it, with its blocks."""
        return self._outline(decisions, shapes, GraphBuilder(shapes.input))

    def auxiliary_graphs(self, decisions: Decisions, shapes: Shapes) -> list[LayerGraph]:
        """For each auxiliary head that `lower` adds (`net.auxiliary`), the network as far as that, and the head.

        Other operations have the names, and so the weights, that they have in `graph`. Raises as `graph` does.
        """
        net = GraphBuilder(shapes.input, for_training=True)
        self._outline(decisions, shapes, net)
        for side in net.sides:
            if side.shape != shapes.output_shape:
                raise ShapeError(f"an auxiliary head ends in {side.shape}, the task needs {shapes.output_shape}")
        return [simplify(net.finish(side)) for side in net.sides]

    def _outline(self, decisions: Decisions, shapes: Shapes, net: GraphBuilder) -> Outline:
        chooser = ReplayChooser(decisions)
        plan = self.decide(chooser)
        chooser.check_all_used()
        try:
            return self._lowered(plan, shapes, net)
        except Exception as error:
            refusal = self.refusal(error, chooser.decisions, shapes)
            if refusal is None:
                raise
            raise refusal from error

    def refusal(self, error: Exception, decisions: Decisions, shapes: Shapes) -> ShapeError | None:
        """What `lower` raised, with the decisions that lead there; None when it is a fault of ours."""
        from netwright.search_spaces.refusal import RefusedError, told_in_a_line

        if isinstance(error, NetwrightError):
            reason = error.reason if isinstance(error, RefusedError) else str(error)
        elif own := own_place(error):
            reason = f"your own code stopped at {own}: {told_in_a_line(error)}"
        else:
            return None
        return RefusedError(reason, space=self, decisions=decisions, shapes=shapes)

    def _lowered(self, plan: Any, shapes: Shapes, net: GraphBuilder) -> Outline:
        output = self.lower(plan, net, shapes)
        if not isinstance(output, Tensor):
            raise SpaceError(
                f"`lower` of {name_of(self)!r} gives {type(output).__name__}, expected what `net.add` gave"
            )
        if output.shape != shapes.output_shape:
            raise ShapeError(
                f"the space {name_of(self)!r} ends in the shape {output.shape}, the task needs {shapes.output_shape}"
            )
        outline = net.outline(output)
        if shapes.tokens and not _reads_tokens(outline):
            raise ShapeError(
                f"the inputs are numbers of words or signs, which the space {name_of(self)!r} would take for "
                f"measurements; put an embedding under it: {{kind: stack, parts: [embedding, {name_of(self)}]}}"
            )
        return outline

    def identity(self, decisions: Decisions, shapes: Shapes) -> str:
        """A hash that is equal for equal networks, however they are written."""
        return self.describe(decisions, shapes)[0]

    def build(self, decisions: Decisions, shapes: Shapes, *, seed: int = 0) -> fx.GraphModule:
        """A plain torch module for these decisions, its weights drawn from `seed`."""
        from netwright.search_spaces.compiler import compile_graph

        return compile_graph(self.graph(decisions, shapes), seed=seed)

    def with_auxiliary(
        self, model: nn.Module, decisions: Decisions, shapes: Shapes, *, seed: int = 0
    ) -> fx.GraphModule | None:
        """The built `model` with its auxiliary heads, for `fit`; None where the space has none.

        It shares the model's layers and gives a tuple: the model's outputs, and those of each head.
        """
        from netwright.search_spaces.compiler import compile_beside

        sides = self.auxiliary_graphs(decisions, shapes)
        return compile_beside(model, self.graph(decisions, shapes), sides, seed=seed) if sides else None

    def supernet(self, shapes: Shapes, *, seed: int = 0) -> Supernet:
        """One network that holds the weights of every architecture, for weight sharing; see `Supernet`."""
        from netwright.search_spaces.supernet import Supernet

        return Supernet(self, shapes, seed=seed)

    def genotype(self, decisions: Decisions) -> str:
        """One line that says the architecture; the published notation where the space has one."""
        given = self.trace(decisions).decisions
        return " ".join(f"{_one_name(name)}={_one_word(value)}" for name, value in given.items())

    def from_genotype(self, genotype: Any) -> dict[str, Any]:
        """The decisions that a genotype stands for; a space with published notations reads these too.

        Raises SpaceError when it is none of this space.
        """
        if not isinstance(genotype, str):
            raise SpaceError(f"{name_of(self)!r} reads genotypes like {EXAMPLE_GENOTYPE!r}, came {genotype!r:.200}")
        pairs = [word.partition("=") for word in genotype.split()]
        if not all(equals for _, equals, _ in pairs):
            raise SpaceError(f"{name_of(self)!r} reads genotypes like {EXAMPLE_GENOTYPE!r}, came {genotype!r:.200}")
        given = {str(_from_word(name)) if name[:1] == '"' else name: _from_word(text) for name, _, text in pairs}
        return dict(self.trace(given).decisions)

    def examples(self) -> list[Shapes]:
        """The example shapes that this space can serve."""
        return [shapes for shapes in self.example_inputs if self._serves(shapes)]

    def enumerate(self) -> Iterator[dict[str, Any]]:
        """Every set of decisions, in order; raises SpaceError when a decision is a real number."""
        for decisions in enumerate_decisions(self._decide_or_reject):
            if not self._rejected(decisions):
                yield dict(decisions)

    def size(self, *, limit: int = 100_000) -> int | None:
        """The number of sets of decisions, or None when there are more than `limit`."""
        try:
            count = sum(1 for _ in islice(self.enumerate(), limit + 1))
        except SpaceError:
            return None
        return count if count <= limit else None

    def _cost(self, outline: Outline, shapes: Shapes) -> Cost:
        counted = written_digest_of(outline) if self.keeps_dead else digest_of(outline)
        if not counted.needs_graph:
            return self.counted(cost_of(counted), shapes)
        graph = flatten(outline)
        return self.counted(cost(graph if self.keeps_dead else simplify(graph)), shapes)

    def _serves(self, shapes: Shapes) -> bool:
        try:
            self.raw_graph(self.sample(random.Random(0)), shapes)
        except ShapeError:
            return False
        return True

    def _decide_or_reject(self, choose: Chooser) -> None:
        try:
            self.decide(choose)
        except RejectedDecisionsError:
            return

    def _rejected(self, decisions: Decisions) -> bool:
        try:
            self.decide(ReplayChooser(decisions))
        except RejectedDecisionsError:
            return True
        return False

    def _first_allowed(self, make: Any) -> dict[str, Any]:
        reason = ""
        for _ in range(ATTEMPTS):
            chooser: Chooser = make()
            try:
                self.decide(chooser)
            except RejectedDecisionsError as error:
                reason = str(error)
                continue
            return dict(chooser.decisions)
        raise SpaceError(f"no allowed architecture in {ATTEMPTS} draws from {name_of(self)!r}; last: {reason}")


def _reads_tokens(outline: Outline) -> bool:
    """Whether any layer looks numbers up."""
    return any(
        item.operation.reads_tokens if isinstance(item, Layer) else _reads_tokens(item.block) for item in outline.items
    )


def _one_name(name: str) -> str:
    """The name of a decision as it is, or in quotes where blanks in it would end it."""
    return name if PLAIN_NAME.fullmatch(name) else _one_word(name).replace("=", "\\u003d")


def _one_word(value: Value) -> str:
    return json.dumps(value, separators=(",", ":")).replace(" ", "\\u0020")


def _from_word(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
