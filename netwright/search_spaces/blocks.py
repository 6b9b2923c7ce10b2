"""A layer graph in larger pieces, as a person would describe it: blocks by scope, made of a few steps.

A step is a short run of operations such as ReLU, convolution, batch normalisation. A block is all
that was added under one scope, such as `stem`, `stage1/cell1` or `head`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from netwright.core.files import canonical_json
from netwright.core.plugins import spec_of
from netwright.core.shapes import Shape
from netwright.search_spaces.cost import layer_costs
from netwright.search_spaces.graph import LayerGraph, Node, consumers
from netwright.search_spaces.operation import Operation


@dataclass(frozen=True, slots=True)
class Step:
    """Operations that run one after another and are drawn as one; named after the last of them."""

    name: str
    operations: tuple[Operation, ...]
    inputs: tuple[str, ...]
    shape: Shape
    params: int
    words: str = ""
    """What several operations together are called, where they have a name of their own."""
    times: int = 1
    """How often in a row, where equal steps are drawn as one."""

    @property
    def merges(self) -> bool:
        """Whether several tensors come together here."""
        return self.operations[0].inputs is None

    @property
    def main(self) -> tuple[Operation, ...]:
        """What the step is about, without normalisation and the like when there is more."""
        return tuple(o for o in self.operations if not o.accompanies) or self.operations[:1]

    @property
    def label(self) -> str:
        """Its main operations in words."""
        if self.words:
            return self.words
        words, rest = "", list(self.main)
        while rest:
            pair = len(rest) > 1 and rest[0].completed_by(rest[1])
            words += (" + " if words else "") + (rest[0].label_with(rest[1]) if pair else rest[0].label())
            rest = rest[2 if pair else 1 :]
        return words if self.times == 1 else f"{self.times} × {words}"

    @property
    def remark(self) -> str:
        """What accompanies them: `after relu, then batch norm`."""
        if self.words:
            return ""
        places = [index for index, o in enumerate(self.operations) if o in self.main]
        before = ", ".join(o.label() for o in self.operations[: places[0]])
        after = ", ".join(o.label() for o in self.operations[places[-1] + 1 :])
        return ", ".join(
            text for text in (f"after {before}" if before else "", f"then {after}" if after else "") if text
        )


@dataclass(frozen=True, slots=True)
class Block:
    """What is under one scope: its steps in order, and what it reads from outside."""

    name: str
    steps: tuple[Step, ...]
    inputs: tuple[str, ...]

    @property
    def output(self) -> Step:
        """The step that runs last."""
        return self.steps[-1]

    @property
    def params(self) -> int:
        return sum(step.params for step in self.steps)

    @property
    def kind(self) -> str:
        """The last part of its name without its number: `cell` for `stage1/cell2`."""
        return _kind(self.name.rpartition("/")[2]) or self.name

    def signature(self, *, sizes: bool) -> str:
        """Equal for blocks of equal operations wired alike; without `sizes` numbers of filters may differ."""
        places = {name: f"in{index}" for index, name in enumerate(self.inputs)}
        parts = []
        for index, step in enumerate(self.steps):
            places[step.name] = f"step{index}"
            what = [canonical_json(spec_of(o)) if sizes else _without_sizes(o.label()) for o in step.operations]
            parts.append([what, [places[name] for name in step.inputs]])
        return canonical_json([self.kind, parts])


@dataclass(frozen=True, slots=True)
class Residual:
    """A block that is a chain with one way around a part of it: `way` is taken beside `body`, then summed."""

    body: tuple[Step, ...]
    way: tuple[Step, ...]
    merge: Step
    tail: tuple[Step, ...]


def blocks_of(graph: LayerGraph) -> list[Block]:
    """The blocks of a graph in the order in which they start to run."""
    steps = _with_gates(_steps(graph))
    grouped: dict[str, list[Step]] = defaultdict(list)
    direct = {_scopes(node.name)[0] for node in graph.nodes if len(_scopes(node.name)) == 1} - _rows(graph)
    for step in steps:
        grouped[_block_name(step.name, direct)].append(step)
    found = []
    for name, members in grouped.items():
        inside = {step.name for step in members}
        outside = dict.fromkeys(n for step in members for n in step.inputs if n not in inside)
        found.append(Block(name, tuple(members), tuple(outside)))
    return found


def with_repeats(steps: Sequence[Step]) -> list[Step]:
    """The steps with equal ones that follow each other, and that nobody else reads in between, made one."""
    readers = Counter(name for step in steps for name in step.inputs)
    found: dict[str, Step] = {}
    for step in steps:
        last = found.get(step.inputs[0]) if len(step.inputs) == 1 else None
        if last and readers[last.name] == 1 and not step.merges and last.operations == step.operations:
            # it takes the place of the one before, which nobody else reads
            del found[last.name]
            times, params = last.times + 1, last.params + step.params
            step = replace(step, inputs=last.inputs, times=times, params=params)
        found[step.name] = step
    return list(found.values())


def chain_of(block: Block) -> bool:
    """Whether a block is one step after another; the first may bring several inputs together."""
    first = block.steps[0]
    return set(first.inputs) == set(block.inputs) and _follows(block.steps[1:], first.name)


def residual_of(block: Block) -> Residual | None:
    """The block as a chain with one way around it, when it is one."""
    merges = [index for index, step in enumerate(block.steps) if step.merges]
    if len(merges) != 1 or len(block.inputs) != 1:
        return None
    merge, tail = block.steps[merges[0]], block.steps[merges[0] + 1 :]
    if len(merge.inputs) != 2 or not _follows(tail, merge.name):
        return None
    by_name = {step.name: step for step in block.steps[: merges[0]]}
    ways = [_way_back(by_name, name, block.inputs[0]) for name in merge.inputs]
    if any(way is None for way in ways) or sum(len(way or ()) for way in ways) != len(by_name):
        return None
    way, body = sorted((way or () for way in ways), key=lambda w: (sum(s.params for s in w), len(w)))
    return Residual(body=body, way=way, merge=merge, tail=tail)


def _follows(steps: Sequence[Step], before: str) -> bool:
    for step in steps:
        if step.inputs != (before,):
            return False
        before = step.name
    return True


def _way_back(by_name: Mapping[str, Step], name: str, start: str) -> tuple[Step, ...] | None:
    """The steps from the block's input to a step, when each has one input."""
    way: list[Step] = []
    while name != start:
        step = by_name.get(name)
        if step is None or len(step.inputs) != 1:
            return None
        way.append(step)
        name = step.inputs[0]
    return tuple(reversed(way))


def _steps(graph: LayerGraph) -> list[Step]:
    readers = consumers(graph)
    params = {cost.name: cost.params for cost in layer_costs(graph)}
    runs: list[list[Node]] = []
    run_of: dict[str, list[Node]] = {}
    for node in graph.nodes:
        run = run_of.get(node.inputs[0]) if len(node.inputs) == 1 else None
        if run and run[-1].name == node.inputs[0] and _joins(run, node, readers[node.inputs[0]]):
            run.append(node)
        else:
            run = [node]
            runs.append(run)
        run_of[node.name] = run
    return [
        Step(
            name=run[-1].name,
            operations=tuple(node.operation for node in run),
            inputs=run[0].inputs,
            shape=run[-1].shape,
            params=sum(params[node.name] for node in run),
        )
        for run in runs
    ]


def _with_gates(steps: Sequence[Step]) -> list[Step]:
    """The steps with every squeeze-and-excitation, channels times what their means say, folded into one."""
    by_name = {step.name: step for step in steps}
    readers = Counter(name for step in steps for name in step.inputs)
    folded: dict[str, Step] = {}
    gone: set[str] = set()
    for step in steps:
        way = _gate(step, by_name, readers)
        if way is None:
            continue
        inside = (*way, step)
        operations = tuple(operation for part in way[1:] for operation in part.operations)
        widths = [part.shape[0] for part in way[:-1]]
        folded[step.name] = Step(
            step.name,
            operations + way[0].operations + step.operations,
            way[0].inputs,
            step.shape,
            sum(part.params for part in inside),
            f"squeeze-excite {min(widths)}",
        )
        gone |= {part.name for part in way}
    return [folded.get(step.name, step) for step in steps if step.name not in gone]


def _gate(step: Step, by_name: Mapping[str, Step], readers: Mapping[str, int]) -> tuple[Step, ...] | None:
    """The steps from a tensor to the product with that tensor, when they begin with a pooling and nobody else reads."""
    if len(step.operations) != 1 or step.operations[0].inputs != 2 or len(set(step.inputs)) != 2:
        return None
    for source, end in (step.inputs, step.inputs[::-1]):
        way = _way_back(by_name, end, source)
        small = way and len(way) > 1 and way[0].operations[0].family == "pooling" and set(way[-1].shape[1:]) == {1}
        if way and small and all(readers[part.name] == 1 for part in way):
            return way
    return None


def _rows(graph: LayerGraph) -> set[str]:
    """The scopes that are no block but hold a row of branching ones, `cell1` read by `cell2` and so on."""
    reads: set[str] = set()
    branches: set[str] = set()
    for node in graph.nodes:
        scopes = _scopes(node.name)
        if len(scopes) < 2:
            continue
        if node.operation.inputs is None and len(set(node.inputs)) > 1:
            branches.add(scopes[0])
        for other in map(_scopes, node.inputs):
            alike = len(other) > 1 and other[0] == scopes[0] and _kind(other[1]) == _kind(scopes[1]) != scopes[1]
            if alike and other[1] != scopes[1]:
                reads.add(scopes[0])
    return reads & branches


def _without_sizes(label: str) -> str:
    """`conv 3×3` for `conv 3×3, 64`, `linear #` for `linear 64`."""
    return re.sub(r"(?<=\s)\d+(?=\s|$)", "#", label.split(",")[0])


def _kind(name: str) -> str:
    """A name without its number: `cell` for `cell2`."""
    return re.sub(r"[\d_-]+$", "", name)


def _joins(run: Sequence[Node], node: Node, readers: Sequence[str]) -> bool:
    """Whether a node is drawn together with the run before it."""
    if len(readers) != 1 or _scopes(run[-1].name) != _scopes(node.name) or run[0].operation.inputs is None:
        return False
    if node.operation.accompanies:
        return type(node.operation) not in {type(other.operation) for other in run}
    main = [other.operation for other in run if not other.operation.accompanies]
    return not main or (run[-1].operation is main[-1] and main[-1].completed_by(node.operation))


def _scopes(name: str) -> list[str]:
    return name.split("/")[:-1]


def _block_name(name: str, direct: set[str]) -> str:
    scopes = _scopes(name)
    if not scopes:
        return name
    return scopes[0] if scopes[0] in direct or len(scopes) == 1 else "/".join(scopes[:2])
