"""Layers that are alike are told apart by who reads them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

from netwright.search_spaces.canonical import identity
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.pool2d import Pool2d

CONV, OTHER, POOL = Conv2d(filters=4), Conv2d(filters=4, kernel=5), Pool2d(kernel=3, stride=1)


def key(write: Callable[[GraphBuilder], Tensor]) -> str:
    net = GraphBuilder((4, 8, 8))
    return identity(net.finish(write(net)))


def twins(net: GraphBuilder, count: int = 2) -> list[Tensor]:
    """Layers of one kind that read the input, each with weights of its own."""
    return [net.add(CONV, net.input, name=f"twin{index}") for index in range(count)]


def crossed(net: GraphBuilder, *, first: int, second: int, third: int) -> Tensor:
    """Two twins, of which a second layer, a pooling and the result read one each."""
    both = twins(net)
    terms = [net.add(OTHER, both[first]), net.add(POOL, both[second]), both[third]]
    return net.add(Add(), *terms, both[1 - third])


def test_networks_that_read_twins_differently_differ():
    def apart(net: GraphBuilder) -> Tensor:
        a, b = twins(net)
        return net.add(Add(), net.add(OTHER, a), net.add(POOL, b))

    def alone(net: GraphBuilder) -> Tensor:
        a, b = twins(net)
        return net.add(Add(), net.add(OTHER, a), net.add(POOL, a), net.add(Add(), b, b), b)

    def together(net: GraphBuilder) -> Tensor:
        a, b = twins(net)
        return net.add(Add(), net.add(OTHER, a), net.add(POOL, b), net.add(Add(), a, b), b)

    assert len({key(apart), key(alone), key(together)}) == 3
    same = key(lambda net: crossed(net, first=0, second=0, third=0))
    other = key(lambda net: crossed(net, first=0, second=1, third=0))
    assert same != other


def test_which_twin_is_which_does_not_matter():
    keys = {
        key(lambda net, f=f, s=s, t=t: crossed(net, first=f, second=s, third=t))
        for f, s, t in ((0, 1, 0), (1, 0, 1), (0, 1, 1), (1, 0, 0))
    }
    assert len(keys) == 1


def test_the_order_in_which_twins_are_made_does_not_matter():
    def write(net: GraphBuilder, order: tuple[int, ...]) -> Tensor:
        a, b, c = (twins(net, 3)[index] for index in order)
        deep = net.add(CONV, net.add(Add(), a, b))
        return net.add(Concat(), net.add(Add(), deep, a), net.add(POOL, c), b)

    keys = {key(lambda net, order=order: write(net, order)) for order in permutations(range(3))}
    assert len(keys) == 1


def test_a_pooling_of_one_twin_made_twice_is_one():
    def write(net: GraphBuilder, once: bool) -> Tensor:
        a, b = twins(net)
        pool = net.add(POOL, a)
        again = pool if once else net.add(POOL, a)
        return net.add(Concat(), net.add(OTHER, pool), again, b)

    assert key(lambda net: write(net, True)) == key(lambda net: write(net, False))


def test_a_place_in_a_concatenation_tells_twins_apart():
    def write(net: GraphBuilder, flip: bool) -> Tensor:
        a, b = twins(net)
        return net.add(Concat(), *([b, a] if flip else [a, b]), net.add(OTHER, a))

    assert key(lambda net: write(net, True)) != key(lambda net: write(net, False))
