"""Equal networks share an identity however they are written; different ones do not."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.canonical import identity, simplify
from netwright.search_spaces.digest import digest_of
from netwright.search_spaces.graph import GraphBuilder, LayerGraph, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.dropout import Dropout
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.multiply import Multiply
from netwright.search_spaces.operations.pool2d import Pool2d
from netwright.search_spaces.operations.resize import Resize
from netwright.search_spaces.operations.skip import Skip
from netwright.search_spaces.operations.weighted_sum import WeightedSum
from netwright.search_spaces.operations.zero import Zero
from netwright.search_spaces.space import SearchSpace

CONV, OTHER, POOL = Conv2d(filters=4), Conv2d(filters=4, kernel=5), Pool2d(kernel=3, stride=1)


def net(write: Callable[[GraphBuilder], Tensor]) -> LayerGraph:
    builder = GraphBuilder((4, 8, 8))
    return builder.finish(write(builder))


def same(*ways: Callable[[GraphBuilder], Tensor]) -> bool:
    return len({identity(net(way)) for way in ways}) == 1


def test_order_and_names_of_a_sum_do_not_matter():
    assert same(
        lambda b: b.add(Add(), b.add(CONV, b.input), b.add(POOL, b.input)),
        lambda b: b.add(Add(), b.add(POOL, b.input, name="x"), b.add(CONV, b.input, name="y")),
    )


def test_a_sum_of_sums_is_one_sum():
    def nested(b: GraphBuilder) -> Tensor:
        inner = b.add(Add(), b.input, b.add(CONV, b.input))
        return b.add(Add(), inner, b.add(POOL, b.input))

    assert same(nested, lambda b: b.add(Add(), b.add(POOL, b.input), b.add(CONV, b.input), b.input))
    assert not same(nested, lambda b: b.add(Add(), b.add(POOL, b.input), b.add(CONV, b.input)))


def summed(net: GraphBuilder, left: Tensor, right: Tensor, *, swapped: bool) -> Tensor:
    """A block of two inputs that joins what a block makes of one with the other."""
    made = net.use(lambda inner, x: inner.add(CONV, x), right if swapped else left, name="conv")
    return net.add(Add(), made, left if swapped else right)


def test_a_block_that_only_joins_its_inputs_is_one_with_the_sums_around_it():
    def key(*, swapped: bool, first: str, second: str) -> str:
        builder = GraphBuilder((4, 8, 8))
        made = {"input": builder.input, "pool": builder.add(POOL, builder.input)}
        made["sum"] = builder.use(summed, made[first], made[second], swapped=swapped)
        return digest_of(builder.outline(builder.add(Add(), made["sum"], made["pool"]))).key

    one = key(swapped=False, first="input", second="pool")
    assert one == key(swapped=True, first="pool", second="input")  # the order of inputs
    assert one != key(swapped=False, first="pool", second="input")  # the convolution reads the other one

    builder = GraphBuilder((4, 8, 8))
    pool = builder.add(POOL, builder.input)
    conv = builder.use(lambda inner, x: inner.add(CONV, x), builder.input, name="conv")
    assert one == digest_of(builder.outline(builder.add(Add(), pool, conv, pool))).key  # no block at all


def test_a_row_of_blocks_is_one_however_it_is_cut():
    def conv(b: GraphBuilder, x: Tensor) -> Tensor:
        return b.chain(x, CONV, Activation())

    def pool(b: GraphBuilder, x: Tensor) -> Tensor:
        return b.add(POOL, x)

    def row(b: GraphBuilder, x: Tensor, *, blocks: tuple[object, ...]) -> Tensor:
        for number, block in enumerate(blocks):
            own = {} if callable(block) else {"blocks": block}
            x = b.use(block if callable(block) else row, x, name=f"part{number}", **own)
        return x

    def key(*blocks: object, times: int = 1, twice: bool = False) -> str:
        builder = GraphBuilder((4, 8, 8))
        x = builder.repeat(row, builder.input, times=times, blocks=blocks)
        if twice:
            x = builder.add(Add(), x, builder.repeat(row, builder.input, times=times, name="other", blocks=blocks))
        return digest_of(builder.outline(x)).key

    assert key(conv, conv) == key(conv, times=2) == key((conv,), (conv,)) == key((conv, conv))
    assert key(conv, pool, conv, pool) == key(conv, pool, times=2) == key((conv, (pool, conv)), pool)
    assert key(conv, conv, twice=True) == key(conv, times=2, twice=True)
    different = [
        key(conv),
        key(conv, conv),
        key(conv, times=3),
        key(conv, pool),
        key(pool, conv),
        key(conv, pool, times=2),
    ]
    different += [key(conv, twice=True), key(conv, conv, twice=True)]
    assert len(set(different)) == len(different)


def test_inputs_of_a_block_that_are_alike_may_change_places():
    def conv(b: GraphBuilder, x: Tensor) -> Tensor:
        return b.add(CONV, x)

    def other(b: GraphBuilder, x: Tensor) -> Tensor:
        return b.add(OTHER, x)

    def joined(b: GraphBuilder, left: Tensor, right: Tensor, *, swapped: bool) -> Tensor:
        left, right = (right, left) if swapped else (left, right)
        return b.add(Multiply(), b.add(Add(), left, right), b.use(other, right))

    def key(*, swapped: bool, alike: bool, read: int = 2) -> str:
        b = GraphBuilder((4, 8, 8))
        made = [b.use(conv, b.input, name="left"), b.use(conv if alike else other, b.input, name="right")]
        whole = b.use(joined, *made, name="joined", swapped=swapped)
        return digest_of(b.outline(whole if read == 2 else b.add(Add(), whole, b.add(POOL, made[read])))).key

    assert key(swapped=False, alike=True) == key(swapped=True, alike=True)
    assert key(swapped=False, alike=False) != key(swapped=True, alike=False)
    # which of the two is read elsewhere tells them apart
    assert key(swapped=False, alike=True, read=0) == key(swapped=True, alike=True, read=1)
    assert key(swapped=False, alike=True, read=0) != key(swapped=True, alike=True, read=0)


def test_a_block_like_one_that_is_left_out_stands_for_itself():
    def key(*filters: int, dead: bool) -> str:
        b = GraphBuilder((4, 8, 8))
        row = lambda b, x, filters: b.chain(b.use(lambda b, x: b.add(CONV, x), x, name="in"), Conv2d(filters=filters))  # noqa: E731
        first = b.use(row, b.input, name="row1", filters=filters[0])
        made = [b.use_like(first, row, b.input, name=f"row{n}", filters=n) for n in filters[1:]]
        read = made if dead else [first, *made]
        return digest_of(b.outline(b.add(Concat(), *read) if len(read) > 1 else read[0])).key

    assert key(4, dead=False) == key(8, 4, dead=True) != key(8, dead=False)
    assert key(4, 6, dead=False) == key(8, 4, 6, dead=True) != key(4, 8, dead=False)


def test_the_order_of_a_concatenation_matters():
    assert not same(
        lambda b: b.add(Concat(), b.add(CONV, b.input), b.add(POOL, b.input)),
        lambda b: b.add(Concat(), b.add(POOL, b.input), b.add(CONV, b.input)),
    )


def test_operations_that_cannot_matter_do_not_count():
    plain = lambda b: b.add(CONV, b.input)  # noqa: E731
    assert same(
        plain,
        lambda b: b.chain(b.input, Skip(), CONV, Dropout(probability=0.0)),
        lambda b: b.add(Add(), plain(b)),
        lambda b: b.add(Add(), plain(b), b.add(Zero(), b.input)),
        lambda b: (b.add(OTHER, b.input), plain(b))[1],
        lambda b: b.add(Add(), plain(b), b.chain(b.input, Zero(), POOL, Activation())),
        lambda b: b.add(Add(), plain(b), b.chain(b.input, Zero(), OTHER)),
    )


def test_zeros_stay_zeros_through_products_and_other_shapes():
    plain = lambda b: b.add(CONV, b.input)  # noqa: E731
    halved = Conv2d(filters=4, stride=2)

    def gated(b: GraphBuilder) -> Tensor:
        gate = b.chain(b.input, Zero(), GlobalPool(keep_axes=True), Activation())
        return b.add(Add(), plain(b), b.add(Multiply(), b.add(OTHER, b.input), gate))

    assert same(
        plain,
        gated,
        lambda b: b.add(Add(), plain(b), b.chain(b.input, Zero(), halved, Resize())),
        lambda b: b.add(Add(), plain(b), b.add(WeightedSum(factors=(2.0,)), b.chain(b.input, Zero()))),
    )
    assert same(
        lambda b: b.chain(b.input, Zero(), halved, BatchNorm()),
        lambda b: b.chain(b.input, halved, Zero(), BatchNorm()),
        lambda b: b.chain(b.input, Pool2d(), BatchNorm(), Zero(), BatchNorm()),
    )
    assert same(
        lambda b: b.add(CONV, b.add(Concat(), b.add(Zero(), b.input), b.add(Zero(), b.input))),
        lambda b: b.add(CONV, b.add(Zero(), b.add(Concat(), b.input, b.input))),
    )
    left = simplify(net(lambda b: b.chain(b.input, Zero(), halved, BatchNorm())))
    assert [node.operation.label() for node in left.nodes] == ["none", "batch norm"]


def test_what_turns_zeros_into_something_counts():
    plain = lambda b: b.add(CONV, b.input)  # noqa: E731
    for makers in ([BatchNorm()], [Activation(function="sigmoid")], [Conv2d(filters=4, bias=True)]):
        assert not same(plain, lambda b, m=makers: b.add(Add(), plain(b), b.chain(b.input, Zero(), *m)))


def test_two_layers_are_not_one_used_twice():
    def shared(b: GraphBuilder) -> Tensor:
        once = b.add(CONV, b.input)
        return b.add(Add(), once, once)

    assert not same(shared, lambda b: b.add(Add(), b.add(CONV, b.input), b.add(CONV, b.input)))


def test_zeros_are_alike_wherever_they_come_from():
    def after(b: GraphBuilder, *before: Operation) -> Tensor:
        return b.chain(b.input, *before, Zero(), BatchNorm())

    body = lambda b: b.chain(b.input, CONV)  # noqa: E731
    assert same(
        lambda b: b.add(Add(), body(b), after(b)),
        lambda b: b.add(Add(), body(b), after(b, OTHER, BatchNorm())),
        lambda b: b.add(Add(), after(b, POOL, Zero(), POOL), body(b)),
    )
    graph = simplify(net(lambda b: b.add(Add(), body(b), after(b, OTHER, BatchNorm()))))
    assert OTHER not in [node.operation for node in graph.nodes]


def test_the_same_pooling_twice_is_one():
    def shared(b: GraphBuilder) -> Tensor:
        once = b.add(POOL, b.input)
        return b.add(Add(), once, once)

    assert same(shared, lambda b: b.add(Add(), b.add(POOL, b.input), b.add(POOL, b.input)))


def test_cells_count_as_many_networks_as_their_canonical_forms():
    """Of the 3**3 cells with three nodes and none, skip or a convolution, those that differ are told apart."""
    space = build("space", {"kind": "cells", "nodes": 3, "operations": ["none", "skip", "conv_3x3"]})
    assert isinstance(space, SearchSpace)
    shapes, fixed = Shapes((3, 16, 16), 5), {"width": 8, "depth": 1}
    found: dict[str, list[tuple[str, ...]]] = {}
    for edges in product(("none", "skip", "conv_3x3"), repeat=3):
        a, b, c = edges
        if (a == "none" or c == "none") and b == "none":
            continue
        decisions = {**fixed, "cell/0-1": a, "cell/0-2": b, "cell/1-2": c}
        found.setdefault(space.identity(decisions, shapes), []).append(edges)
    groups = sorted(sorted(group) for group in found.values())
    n, s, k = "none", "skip", "conv_3x3"
    # one convolution from input to output, written in as many ways as there are
    assert sorted([(n, k, n), (n, k, s), (s, k, n), (k, k, n), (k, n, s), (s, n, k)]) in groups
    # the convolution beside a skip
    assert sorted([(k, s, s), (s, k, s), (s, s, k)]) in groups
    # nothing but the input
    assert sorted([(n, s, n), (n, s, s), (s, s, n), (k, s, n), (s, n, s)]) in groups
    assert [(k, n, k)] in groups
    assert len(groups) == 10


def test_renaming_and_reordering_a_drawn_network_keeps_its_identity():
    space = build("space", "cells")
    assert isinstance(space, SearchSpace)
    shapes = Shapes((3, 32, 32), 10)
    for seed in range(10):
        graph = space.raw_graph(space.sample(random.Random(seed)), shapes)
        data = graph.to_json()
        names = {node["name"]: f"n{index}" for index, node in enumerate(data["nodes"])} | {"input": "input"}
        for node in data["nodes"]:
            node["name"] = names[node["name"]]
            node["inputs"] = [names[name] for name in node["inputs"]]
            if node["operation"]["kind"] == "add":
                node["inputs"].reverse()
        data["output"] = names[data["output"]]
        assert identity(LayerGraph.from_json(data)) == identity(graph)


def test_layers_of_one_weight_that_read_the_same_are_told_from_layers_of_their_own():
    tied = lambda b: b.add(Add(), *[b.add(CONV, b.input, name=n, weights="/shared") for n in ("one", "two")])  # noqa: E731
    apart = lambda b: b.add(Add(), *[b.add(CONV, b.input, name=n) for n in ("one", "two")])  # noqa: E731
    assert not same(tied, apart)


def second_alone(net: GraphBuilder, left: Tensor, right: Tensor, *, swapped: bool) -> Tensor:
    """A block of two inputs that reads one of them."""
    return net.chain(left if swapped else right, CONV, Activation())


def test_the_place_of_the_only_input_that_a_block_reads_does_not_matter():
    def one(b: GraphBuilder, *, swapped: bool) -> Tensor:
        x, pool = b.input, b.add(POOL, b.input)
        return b.use(second_alone, *((pool, x) if swapped else (x, pool)), swapped=swapped)

    keys = []
    for swapped in (False, True):
        builder = GraphBuilder((4, 8, 8))
        keys.append(digest_of(builder.outline(one(builder, swapped=swapped))).key)
    assert keys[0] == keys[1]


def test_words_of_python_may_name_layers_and_blocks():
    from netwright.search_spaces.compiler import compile_graph

    def named(b: GraphBuilder) -> Tensor:
        with b.scope("class"):
            x = b.add(CONV, b.input, name="in")
        return b.use(second_alone, x, x, name="lambda", swapped=False)

    model = compile_graph(net(named))
    assert [name for name, _ in model.named_parameters()] == ["class_.in_.weight", "lambda_.conv2d.weight"]
