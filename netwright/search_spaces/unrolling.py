"""The iterations of ISTA, FISTA and ADMM as operations of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netwright.core.shapes import Shape
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.matrix import Matrix
from netwright.search_spaces.operations.reshape import Reshape
from netwright.search_spaces.operations.soft_threshold import SoftThreshold
from netwright.search_spaces.operations.weighted_sum import WeightedSum

Kind = Literal["lista", "lista_cp", "ista_net", "ista_net_plus", "admm_net"]
Form = Literal["forward", "adjoint", "step", "descent"]

PENALTY = 0.1
"""Weight of ADMM's pull of x towards its copy, before training."""


@dataclass(frozen=True, slots=True)
class Unrolling:
    """An algorithm, its number of iterations and their sizes; `block` is x as an image, for convolutions."""

    kind: Kind
    iterations: int
    tied: bool
    thresholds: Literal["one", "each"]
    momentum: bool
    filters: int
    operator: str | None
    initial: str | None
    start: float
    measurements: int
    unknowns: int
    block: Shape


def unroll(net: GraphBuilder, what: Unrolling) -> Tensor:
    """(measurements,) -> (unknowns,): the result of the last iteration, begun from zero or from Q y."""
    begun = net.add(Matrix(operator=what.initial), net.input, name="initial") if what.initial else None
    if what.kind == "admm_net":
        return _admm(net, what, begun)
    results = [] if begun is None else [begun]
    encoded: Tensor | None = None
    for index in range(what.iterations):
        with net.scope(f"iteration{index + 1}"):
            x = _leap(net, what, results) if results else None
            if what.kind == "lista":
                # tied iterations add the same W y, which is worked out once
                encoded = encoded if encoded and what.tied else _encode(net, what, net.input)
                descended = encoded if x is None else _descend_learned(net, what, x, encoded)
            else:
                descended = _descend(net, what, x)
            results.append(_shrink(net, what, descended))
    return results[-1]


def _leap(net: GraphBuilder, what: Unrolling, results: list[Tensor]) -> Tensor:
    """The last result, or with momentum a point beyond it as seen from the one before (Beck & Teboulle, 2009)."""
    if not what.momentum or len(results) < 2:
        return results[-1]
    speed = 0.5 if what.tied else (len(results) - 1) / (len(results) + 2)
    step = WeightedSum(factors=(1 + speed, -speed), learned=(True, True))
    return _add(net, what, step, results[-1], results[-2], name="momentum")


def _encode(net: GraphBuilder, what: Unrolling, measured: Tensor) -> Tensor:
    """W y with W learned."""
    return _add(net, what, _matrix(what, "step", learned=True), measured, name="encode")


def _descend_learned(net: GraphBuilder, what: Unrolling, x: Tensor, encoded: Tensor) -> Tensor:
    """W y + S x with both matrices learned: equation 5 of Gregor & LeCun (2010)."""
    inhibited = _add(net, what, _matrix(what, "descent", learned=True), x, name="inhibit")
    return net.add(Add(), encoded, inhibited)


def _descend(net: GraphBuilder, what: Unrolling, x: Tensor | None) -> Tensor:
    """x + W (y - A x): W is learned for lista_cp, else a learned multiple of the adjoint of A."""
    coupled = what.kind == "lista_cp"
    back = _back(net, what, _residual(net, what, x))
    if x is None:
        step = WeightedSum(factors=(1.0,), learned=(True,))
        return back if coupled else _add(net, what, step, back, name="step_size", place="first_step_size")
    if coupled:
        return net.add(Add(), x, back)
    step = WeightedSum(factors=(1.0, 1.0), learned=(False, True))
    return _add(net, what, step, x, back, name="step_size")


def _residual(net: GraphBuilder, what: Unrolling, x: Tensor | None) -> Tensor:
    """y - A x."""
    if x is None:
        return net.input
    seen = net.add(_matrix(what, "forward"), x, name="measure", weights="/operator")
    return net.add(WeightedSum(factors=(1.0, -1.0)), net.input, seen, name="difference")


def _back(net: GraphBuilder, what: Unrolling, residual: Tensor) -> Tensor:
    """A residual brought back among the unknowns; the adjoint of A is one for all iterations."""
    if what.kind == "lista_cp":
        return _encode(net, what, residual)
    return net.add(_matrix(what, "step"), residual, name="back", weights="/adjoint")


def _admm(net: GraphBuilder, what: Unrolling, begun: Tensor | None) -> Tensor:
    """x follows the measurements and its copy z, z is made sparse, the multiplier u holds what they differ by."""
    x, z, u = begun, None if begun is None else _shrink(net, what, begun), None
    for index in range(what.iterations):
        with net.scope(f"iteration{index + 1}"):
            back = _back(net, what, _residual(net, what, x))
            if x is None or z is None:
                first = WeightedSum(factors=(1.0,), learned=(True,))
                x = _add(net, what, first, back, name="follow", place="first_follow")
                z = _shrink(net, what, x)
                continue
            with net.scope("multiplier"):
                if u is None:
                    start = WeightedSum(factors=(1.0, -1.0), learned=(True, True))
                    u = _add(net, what, start, x, z, name="rise", place="first_rise")
                else:
                    rise = WeightedSum(factors=(1.0, 1.0, -1.0), learned=(False, True, True))
                    u = _add(net, what, rise, u, x, z, name="rise")
            pull = WeightedSum(factors=(1 - PENALTY, 1.0, PENALTY, -PENALTY), learned=(True,) * 4)
            x = _add(net, what, pull, x, back, z, u, name="follow")
            z = _shrink(net, what, net.add(Add(), x, u, name="shifted"))
    assert z is not None
    return z


def _shrink(net: GraphBuilder, what: Unrolling, x: Tensor) -> Tensor:
    """Soft thresholding, for image blocks between two learned transforms."""
    threshold = SoftThreshold(thresholds=what.thresholds, start=what.start)
    if not what.block:
        return _add(net, what, threshold, x, name="shrink")
    plus = what.kind == "ista_net_plus"
    image = net.add(Reshape(shape=what.block), x, name="image")
    wide, narrow = Conv2d(filters=what.filters), Conv2d(filters=1)
    inner = image
    with net.scope("transform"):
        # with plus, a convolution of its own goes to and from the channels that the transform works on
        steps: list[tuple[str, Operation]] = [("spread", wide)] if plus else []
        steps += [("there1", wide), ("there_relu", Activation()), ("there2", wide), ("shrink", threshold)]
        steps += [("back1", wide), ("back_relu", Activation()), ("back2", wide if plus else narrow)]
        steps += [("gather", narrow)] if plus else []
        for name, operation in steps:
            inner = _add(net, what, operation, inner, name=name)
        inner = net.add(Add(), image, inner) if plus else inner
    return net.add(Reshape(shape=(what.unknowns,)), inner, name="values")


def _matrix(what: Unrolling, form: Form, *, learned: bool = False) -> Operation:
    """A product with the task's operator, or with a learned matrix of the same size where there is none."""
    if what.operator is not None:
        return Matrix(operator=what.operator, form=form, learned=learned)
    return Linear(features=what.measurements if form == "forward" else what.unknowns, bias=False)


def _add(
    net: GraphBuilder, what: Unrolling, operation: Operation, *inputs: Tensor, name: str, place: str = ""
) -> Tensor:
    """Add an operation that has the weights of its like in every iteration, when these are tied."""
    return net.add(operation, *inputs, name=name, weights=f"/every/{place or name}" if what.tied else "")
