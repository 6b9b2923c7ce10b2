"""Search spaces made at random, of most operations of the language: what holds for all spaces has to hold for them."""

from __future__ import annotations

import random
from math import prod
from typing import Any

from pydantic import Field

from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.matching import match
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.adaptive_pool2d import AdaptivePool2d
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.bed_of_nails import BedOfNails
from netwright.search_spaces.operations.class_token import ClassToken
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv1d import Conv1d
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.conv_transpose2d import ConvTranspose2d
from netwright.search_spaces.operations.drop_path import DropPath
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.first_channels import FirstChannels
from netwright.search_spaces.operations.flatten import Flatten
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.group_norm import GroupNorm
from netwright.search_spaces.operations.layer_norm import LayerNorm
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.max_unpool2d import MaxUnpool2d
from netwright.search_spaces.operations.multiply import Multiply
from netwright.search_spaces.operations.pad2d import Pad2d
from netwright.search_spaces.operations.pixel_shuffle import PixelShuffle
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.positions import Positions
from netwright.search_spaces.operations.recurrent import Recurrent
from netwright.search_spaces.operations.resize import Resize
from netwright.search_spaces.operations.self_attention import SelfAttention
from netwright.search_spaces.operations.skip import Skip
from netwright.search_spaces.operations.soft_threshold import SoftThreshold
from netwright.search_spaces.operations.softmax import Softmax
from netwright.search_spaces.operations.subsample2d import Subsample2d
from netwright.search_spaces.operations.summary import Summary
from netwright.search_spaces.operations.tokens import Tokens
from netwright.search_spaces.operations.weighted_sum import WeightedSum
from netwright.search_spaces.operations.zero import Zero
from netwright.search_spaces.space import SearchSpace

Step = tuple[Any, ...]
SINGLE = {
    "conv3": Conv2d(filters=4),
    "conv3b": Conv2d(filters=4, bias=True),
    "conv1": Conv2d(filters=6, kernel=1),
    "conv5/2": Conv2d(filters=4, kernel=5, stride=2),
    "dil": Conv2d(kernel=3, dilation=2),
    "asym": Conv2d(kernel=(1, 5), filters=4),
    "group": Conv2d(filters=4, groups=2, kernel=(3, 1)),
    "depthwise": Conv2d(groups=0),
    "depthwise/2": Conv2d(groups=0, stride=2, bias=True),
    "max": Pool2d(),
    "max3": Pool2d(kernel=3, stride=1),
    "avg3": Pool2d(mode="average", kernel=3, stride=1),
    "avg3/2": Pool2d(mode="average", kernel=3, stride=2, ceil=True, count_padding=True),
    "max1": Pool2d(kernel=1, stride=1),
    "bn": BatchNorm(),
    "bn-": BatchNorm(affine=False),
    "gn": GroupNorm(),
    "relu": Activation(),
    "sigmoid": Activation(function="sigmoid"),
    "identity": Activation(function="identity"),
    "softplus": Activation(function="softplus"),
    "gelu": Activation(function="gelu"),
    "zero": Zero(),
    "skip": Skip(),
    "dropout": Dropout(probability=0.3),
    "dropout0": Dropout(probability=0.0),
    "droppath": DropPath(probability=0.2),
    "threshold": SoftThreshold(),
    "thresholds": SoftThreshold(thresholds="each"),
    "softmax": Softmax(),
    "nearest": Resize(),
    "bilinear": Resize(mode="bilinear"),
    "bicubic": Resize(mode="bicubic", size=(7, 5)),
    "transposed": ConvTranspose2d(filters=4),
    "bilinear-t": ConvTranspose2d(kernel=4, padding=1, start="fixed_bilinear", bias=True),
    "nails": BedOfNails(),
    "every2": Subsample2d(),
    "pad": Pad2d(top=1, left=2, last=2),
    "pad0": Pad2d(),
    "crop": Pad2d(bottom=-1, right=-1),
    "adaptive": AdaptivePool2d(size=4),
    "adaptive-max": AdaptivePool2d(size=(3, 5), mode="max"),
    "first": FirstChannels(count=2),
}
LARGER = ("nearest", "bilinear", "transposed", "bilinear-t", "nails")
SMALLER = ("max", "crop", "conv5/2", "avg3/2")
JOINS = ("add", "add", "add", "concat", "concat*", "multiply", "weighted", "learned", "gate", "unpool", "shuffle")
SEQUENCE = {
    "linear": Linear(features=5),
    "linear-": Linear(features=5, bias=False),
    "conv1d": Conv1d(filters=5),
    "conv1dn": Conv1d(filters=5, weight_norm=True, padding="same"),
    "lstm": Recurrent(width=4),
    "bigru": Recurrent(width=3, cell="gru", bidirectional=True),
    "rnn": Recurrent(width=4, cell="rnn"),
    "attention": SelfAttention(width=4, heads=2),
    "ln": LayerNorm(),
    "token": ClassToken(),
    "positions": Positions(),
    "relu": Activation(),
    "zero": Zero(),
    "skip": Skip(),
    "softmax": Softmax(),
}


def body(net: GraphBuilder, *tensors: Tensor, steps: tuple[Step, ...], result: int = -1) -> Tensor:
    """What the steps say, one after another, on tensors that are brought to shapes that fit."""
    values = list(tensors)
    for step in steps:
        values.append(_add(net, step, values))
    return values[result % len(values)]


def _add(net: GraphBuilder, step: Step, values: list[Tensor]) -> Tensor:
    kind, *rest = step
    if kind in ("use", "repeat", "like"):
        return _blocks(net, step, values)
    picks, options = rest
    given = [values[pick % len(values)] for pick in picks]
    x = given[0]
    if kind in JOINS:
        return _join(net, kind, given)
    operation = SINGLE[kind]
    if kind in LARGER and prod(x.shape) > 1500:
        operation = SINGLE["max"]
    elif (kind in SMALLER and min(x.shape[1:]) < 2) or (kind == "first" and x.shape[0] < 2):
        operation = SINGLE["skip"]
    elif kind == "group" and x.shape[0] % 2:
        operation = SINGLE["conv1"]
    if operation.params([x.shape]) and ("shared" in options or "tied" in options):
        place = "/shared" if "shared" in options else "tied"
        return net.add(operation, x, weights=f"{place}/{kind}-{x.shape[0]}")
    if "scope" in options:
        with net.scope("inner"):
            return net.add(operation, x)
    return net.add(operation, x)


def _join(net: GraphBuilder, kind: str, given: list[Tensor]) -> Tensor:
    like = given[-1]
    if kind == "gate":
        x = net.chain(like, GlobalPool(keep_axes=True), Conv2d(kernel=1, bias=True), Activation(function="sigmoid"))
        return net.add(Multiply(), like, x)
    if kind == "unpool":
        pooled = net.chain(like, Pool2d(kernel=2, stride=2, ceil=True), Activation())
        return net.add(MaxUnpool2d(), pooled, like)
    if kind == "shuffle":
        return net.chain(like, Conv2d(filters=8, kernel=1), Pool2d(kernel=3), PixelShuffle())
    if kind.startswith("concat"):
        if sum(t.shape[0] for t in given) > 24:
            given = given[:1]
        fitted = [match(net, t, like, channels=t.shape[0]) for t in given]
        return net.add(Concat(any_order=kind == "concat*"), *fitted)
    fitted = [match(net, t, like) for t in given]
    if kind == "add":
        return net.add(Add(), *fitted)
    if kind == "multiply":
        return net.add(Multiply(), fitted[0], fitted[-1])
    factors = tuple((1.0, -0.5, 0.25, 2.0)[: len(fitted)])
    learned = tuple(i % 2 == 0 for i in range(len(fitted))) if kind == "learned" else ()
    return net.add(WeightedSum(factors=factors, learned=learned), *fitted)


def _blocks(net: GraphBuilder, step: Step, values: list[Tensor]) -> Tensor:
    kind, picks, steps, more = step
    given = [values[pick % len(values)] for pick in picks]
    if kind == "use":
        return net.use(body, *given, name=f"block{len(values)}", steps=steps, result=more)
    if kind == "repeat":
        return net.repeat(same_shape, given[0], times=more, name=f"block{len(values)}", steps=steps)
    first = net.use(sized, given[0], name=f"first{len(values)}", filters=4)
    return net.use_like(first, sized, first, name=f"second{len(values)}", filters=2 + more)


def same_shape(net: GraphBuilder, x: Tensor, *, steps: tuple[Step, ...]) -> Tensor:
    return match(net, net.use(body, x, name="part", steps=steps), x)


def sized(net: GraphBuilder, x: Tensor, *, filters: int) -> Tensor:
    y = net.add(Conv2d(filters=filters), x)
    return net.add(Add(), y, net.chain(y, Conv2d(filters=filters), Activation()), net.add(Zero(), y))


class RandomSpace(SearchSpace):
    """A space drawn at random: another one for every `number`."""

    number: int = Field(default=0, description="which one")
    dead: bool = Field(default=False, description="whether what cannot reach the output is kept")

    @property
    def keeps_dead(self) -> bool:
        return self.dead

    def decide(self, choose: Chooser) -> Any:
        rng = random.Random(self.number)
        parts = [_steps(choose, rng, name, parts=[]) for name in ("part1", "part2")[: rng.randint(0, 2)]]
        steps = _steps(choose, rng, "step", parts=parts)
        sequence = tuple(rng.sample(sorted(SEQUENCE), 3))
        head, summary = (
            rng.choice(["pool", "flatten", "tokens", "tokens"]),
            rng.choice(["mean", "max", "last", "first"]),
        )
        if head != "tokens":
            return steps, head, [], summary
        depth = choose.integer("head/depth", 0, 3)
        return steps, head, [choose.one_of(f"head/step{i}", sequence) for i in range(depth)], summary

    def lower(self, plan: Any, net: GraphBuilder, shapes: Shapes) -> Tensor:
        steps, head, sequence, summary = plan
        x = body(net, net.input, steps=steps)
        with net.scope("head"):
            if head != "tokens":
                x = net.add(GlobalPool() if head == "pool" else Flatten(), x)
            else:
                x = net.chain(x, Tokens(), *[SEQUENCE[kind] for kind in sequence], Summary(mode=summary))
            return net.add(Linear(features=shapes.classes), x)


def _steps(choose: Chooser, rng: random.Random, name: str, *, parts: list[tuple[Step, ...]]) -> tuple[Step, ...]:
    """Steps of which each has an operation and inputs to choose; `rng` says what is open and what is given."""
    pool, most, least = rng.sample(sorted(SINGLE), 4), rng.randint(3, 5), rng.randint(1, 2)
    fixed = [(rng.random(), rng.random(), rng.getrandbits(16), rng.getrandbits(8)) for _ in range(most)]
    options = [tuple(dict.fromkeys([*rng.sample(pool, 2), rng.choice([*JOINS, "zero", "skip"])])) for _ in range(most)]
    steps: list[Step] = []
    for index in range(choose.integer(f"{name}/depth", least, most) if rng.random() < 0.5 else most):
        open_inputs, kind, made, marks = fixed[index]
        with choose.scope(f"{name}{index + 1}"):
            picks: Any = (index, made % (index + 1))
            if open_inputs < 0.6:
                picks = choose.subset("inputs", tuple(range(index + 1)), least=1, most=min(3, index + 1))
            part = parts[made % len(parts)] if parts else ()
            if parts and kind < 0.15:
                steps.append(("use", picks, part, -1 - made % 2))
            elif parts and kind < 0.28:
                steps.append(("repeat", picks, part, choose.integer("times", 0, 3)))
            elif parts and kind < 0.35:
                steps.append(("like", picks, (), choose.integer("wider", 0, 3)))
            else:
                where = tuple(
                    mark for bit, mark in enumerate(("shared", "tied", "scope")) if marks >> (2 * bit) & 3 == 3
                )
                steps.append((choose.one_of("operation", options[index]), picks, where))
    return tuple(steps)
