"""Residual blocks of a layer graph that may be left out, and the runs of equal blocks that they form.

A block may be left out when it ends in a sum of what it computes and of its own input: without the rest the
sum is that input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netwright.core.shapes import Shape
from netwright.search_spaces.graph import INPUT, LayerGraph, Node, consumers
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.adaptive_pool2d import AdaptivePool2d
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.pool2d import Pool2d

LONGEST_PATTERN = 4
"""So many blocks in a row are looked at for a pattern that repeats, as attention and neurons in turn."""
IDEMPOTENT = ("relu", "relu6")
POOLS = (Pool2d, AdaptivePool2d, GlobalPool)
"""They give out no value beyond the least and the largest that come in."""


@dataclass(frozen=True, slots=True)
class Block:
    """Operations between the values `start` and `end`; left out, whoever reads `end` reads `start`."""

    start: str
    end: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Equal blocks in a row; each may be several residual blocks that repeat together."""

    name: str
    blocks: tuple[tuple[Block, ...], ...]

    def dropped(self, depth: int) -> tuple[Block, ...]:
        """What is left out when the first `depth` blocks stay."""
        return tuple(block for blocks in self.blocks[depth:] for block in blocks)


def residual_runs(graph: LayerGraph) -> tuple[Run, ...]:
    """The runs of equal residual blocks, in their order; their names are parts of the network's paths."""
    nodes = {node.name: node for node in graph.nodes}
    runs: list[Run] = []
    taken: set[str] = set()
    for chain in _chains(residual_blocks(graph)):
        for blocks in _patterns(chain, nodes):
            name = _unused(_name_of(blocks), taken)
            taken.add(name)
            runs.append(Run(name, blocks))
    return tuple(runs)


def residual_blocks(graph: LayerGraph) -> list[Block]:
    """The blocks that may be left out, in their order; of nested ones the outermost."""
    nodes = {node.name: node for node in graph.nodes}
    readers = consumers(graph)
    shapes = graph.shapes()
    found = []
    for node in graph.nodes:
        if isinstance(node.operation, Add):
            starts = [name for name in dict.fromkeys(node.inputs) if name != INPUT]
            blocks = [_block(node, start, nodes, readers, shapes) for start in starts]
            found += [block for block in blocks if block is not None]
    outermost = []
    for block in found:
        inside = any(set(block.nodes) < set(other.nodes) for other in found)
        if not inside and block.end != graph.output:
            outermost.append(block)
    return outermost


def _block(
    end: Node,
    start: str,
    nodes: Mapping[str, Node],
    readers: Mapping[str, Sequence[str]],
    shapes: Mapping[str, Shape],
) -> Block | None:
    """The block that ends in this sum and begins after `start`, if there is one."""
    others = [name for name in end.inputs if name != start]
    if len(others) != len(end.inputs) - 1:
        return None
    branch: set[str] = set()
    waiting = list(others)
    while waiting:
        name = waiting.pop()
        if name == start or name in branch:
            continue
        if name == INPUT:
            return None  # it reads more than its start
        branch.add(name)
        waiting.extend(nodes[name].inputs)
    leaves = any(reader not in branch and reader != end.name for name in branch for reader in readers[name])
    works = any(nodes[name].operation.params([shapes[i] for i in nodes[name].inputs]) for name in branch)
    if leaves or not works or end.shape != shapes[start]:
        return None
    last = _repeated_activation(end, nodes[start], nodes, readers)
    inside = branch | {end.name, last}
    return Block(start, last, tuple(name for name in nodes if name in inside))


def _repeated_activation(
    end: Node, start: Node, nodes: Mapping[str, Node], readers: Mapping[str, Sequence[str]]
) -> str:
    """The activation after the sum, when the block's input has already been through the same one; else the sum."""
    if len(readers[end.name]) != 1:
        return end.name
    after = nodes[readers[end.name][0]]
    operation = after.operation
    if not isinstance(operation, Activation) or operation.function not in IDEMPOTENT:
        return end.name
    while isinstance(start.operation, POOLS) and start.inputs[0] != INPUT:
        start = nodes[start.inputs[0]]
    return after.name if start.operation == operation else end.name


def _chains(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks that follow each other, each reading what the one before gives."""
    chains: list[list[Block]] = []
    for block in blocks:
        if chains and chains[-1][-1].end == block.start:
            chains[-1].append(block)
        else:
            chains.append([block])
    return chains


def _patterns(chain: Sequence[Block], nodes: Mapping[str, Node]) -> list[tuple[tuple[Block, ...], ...]]:
    """The chain cut into runs of equal blocks, or of equal short patterns of blocks."""
    kinds = [_kind(block, nodes) for block in chain]
    runs = []
    at = 0
    while at < len(chain):
        length, times = max(
            ((length, _times(kinds, at, length)) for length in range(1, LONGEST_PATTERN + 1)),
            key=lambda found: (found[0] * found[1] if found[1] > 1 or found[0] == 1 else 0, -found[0]),
        )
        starts = range(at, at + length * times, length)
        runs.append(tuple(tuple(chain[start : start + length]) for start in starts))
        at += length * times
    return runs


def _times(kinds: Sequence[object], at: int, length: int) -> int:
    """How often the pattern of this length repeats from here on."""
    pattern = kinds[at : at + length]
    times = 0
    while len(pattern) == length and kinds[at + times * length : at + (times + 1) * length] == pattern:
        times += 1
    return times


def _kind(block: Block, nodes: Mapping[str, Node]) -> object:
    """What makes two blocks equal: their operations and wiring."""
    number = {block.start: -1, **{name: index for index, name in enumerate(block.nodes)}}
    return [
        (_sort(nodes[name].operation), nodes[name].shape, [number[source] for source in nodes[name].inputs])
        for name in block.nodes
    ]


def _sort(operation: Operation) -> object:
    """The operation; of dropout any, since deeper blocks are often dropped more."""
    return type(operation) if operation.random else operation


def _name_of(blocks: Sequence[Sequence[Block]]) -> str:
    """Where the first block lives, and the last one: `layer1/0-1` for `layer1/0` and `layer1/1`."""
    first, last = (
        _common_path([name for block in group for name in block.nodes]) or group[-1].end
        for group in (blocks[0], blocks[-1])
    )
    if first == last:
        return first
    folder = _common_path([f"{first}/", f"{last}/"])
    return f"{first}-{last.removeprefix(f'{folder}/')}"


def _common_path(names: Sequence[str]) -> str:
    """The folders that all paths have in common."""
    paths = [name.split("/")[:-1] for name in names]
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def _unused(name: str, taken: set[str]) -> str:
    return next(n for n in [name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))] if n not in taken)
