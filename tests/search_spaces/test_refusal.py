"""An architecture that cannot serve an input: what is said, and which decisions are named."""

from __future__ import annotations

import pickle
import random

import pytest

from netwright.core.errors import NetwrightError, ShapeError, SpaceError
from netwright.core.plugins import build, names
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.choosers import RandomChooser
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.global_pool import GlobalPool
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.space import SearchSpace

HOSTILE = (
    Shapes((3, 1, 1), 10),
    Shapes((5, 2, 2), 10),
    Shapes((3, 7, 5), (2, 3, 2)),
    Shapes((1, 1), 2),
    Shapes((9, 4), (9, 4)),
    Shapes((12, 1), 3, tokens=7),
    Shapes((7,), 3),
    Shapes((2, 3, 4, 5), (5,)),
)


class Valid(SearchSpace):
    """Unpadded convolutions one after another, in channels that are shared among groups."""

    def decide(self, choose: Chooser) -> tuple[list[int], int]:
        with choose.scope("body"):
            kernels = [int(choose.one_of(f"kernel{i}", (1, 3, 5))) for i in range(choose.integer("depth", 1, 2))]
        return kernels, choose.integer("share", 0, 2)

    def lower(self, plan: tuple[list[int], int], net: GraphBuilder, shapes: Shapes) -> Tensor:
        kernels, share = plan
        x = net.input
        for kernel in kernels:
            x = net.add(Conv2d(filters=8 // share, kernel=kernel, padding="valid"), x)
        return net.chain(x, GlobalPool(), Linear(features=shapes.classes))


ONE = {"body/depth": 2, "body/kernel0": 1, "body/kernel1": 5, "share": 1}
TWO = {"body/depth": 1, "body/kernel0": 3, "share": 0}


def told(decisions: dict[str, object], shapes: Shapes) -> str:
    with pytest.raises(ShapeError) as caught:
        Valid().graph(decisions, shapes)
    return str(caught.value)


def test_the_decision_that_leads_there_is_named():
    words = told(ONE, Shapes((1, 4, 4), 2))
    assert words == (
        "at conv2d: nothing is left of the input (8, 4, 4); it becomes (8, 0, 0) "
        "(the decision 'body/kernel1' is 5; 1 would do)"
    )


def test_several_decisions_are_named_when_no_single_one_helps():
    words = told(ONE | {"body/kernel0": 5}, Shapes((1, 4, 4), 2))
    assert words.endswith("(the decisions 'body/kernel0' is 5 and 'body/kernel1' is 5; 3 and 1 would do)")


def test_no_decision_is_named_when_none_helps():
    words = told(ONE, Shapes((4, 4), 2))
    assert words.endswith(
        "came (4, 4) (no decision of the space 'tests.search_spaces.test_refusal:Valid' changes that)"
    )


def test_an_exception_of_ones_own_lower_is_one_sentence_with_its_line_and_its_decision():
    words = told(TWO, Shapes((1, 9, 9), 2))
    assert words.startswith("your own code stopped at test_refusal.py, line ")
    assert words.endswith(
        "in lower: ZeroDivisionError: integer division or modulo by zero (the decision 'share' is 0; 1 would do)"
    )


MISTAKEN = {
    "gives back nothing": (lambda net: None, "`lower` of .* gives NoneType, expected what `net.add` gave"),
    "misspells a field": (
        lambda net: net.add(Conv2d(filter=3), net.input),
        r"line \d+, in <lambda>: Conv2d: filter: Extra",
    ),
    "joins nothing": (lambda net: net.add(Concat()), "concat: takes 1 or more inputs, came 0"),
    "writes a sum": (
        lambda net: net.input + net.input,
        r"line \d+, in <lambda>: TypeError: tensors are summed by an operation: net.a",
    ),
    "needs an image": (lambda net: net.inputs[5], r"line \d+, in <lambda>: IndexError: tuple index out of range"),
}


@pytest.mark.parametrize(("lower", "words"), MISTAKEN.values(), ids=MISTAKEN)
def test_a_mistake_in_ones_own_lower_is_told(lower, words):
    class Mistaken(Valid):
        def lower(self, plan, net: GraphBuilder, shapes: Shapes) -> Tensor:
            return lower(net)

    with pytest.raises(SpaceError, match=words) as caught:
        Mistaken().build(ONE, Shapes((1, 9, 9), 2))
    assert "\n" not in str(caught.value)


def test_the_text_survives_where_the_space_is_not_known():
    with pytest.raises(ShapeError) as caught:
        Valid().cost(TWO, Shapes((1, 9, 9), 2))
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is ShapeError
    assert str(again) == str(caught.value)


def test_options_that_cannot_be_are_told_with_the_decision():
    chooser = RandomChooser(random.Random(0))
    for ask in (
        lambda: chooser.one_of("width", ()),
        lambda: chooser.integer("width", 3, 1),
        lambda: chooser.real("width", 0, 1, log=True),
        lambda: chooser.subset("width", (1, 2), least=3),
        lambda: chooser.one_of("width", (None, 4)),
        lambda: chooser.one_of("width", [[1, 2], [3]]),
        lambda: chooser.integer("width", 1, 2.5),
    ):
        with chooser.scope("stage1"), pytest.raises(SpaceError, match="the decision 'stage1/width' cannot be asked"):
            ask()


@pytest.mark.parametrize("name", names("space"))
def test_every_space_says_in_one_line_what_decides_that_an_input_is_refused(name: str):
    space = build("space", name)
    assert isinstance(space, SearchSpace)
    for seed, shapes in enumerate(HOSTILE):
        decisions = space.sample(random.Random(seed))
        try:
            space.describe(decisions, shapes)
        except NetwrightError as error:
            words = str(error)
            assert "\n" not in words
            assert f"no decision of the space {name!r} changes that" in words or "would do)" in words


def test_a_class_that_cannot_be_made_is_told_in_one_line_with_its_place(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(
        "from netwright.search_spaces.space import SearchSpace\nclass Mine(SearchSpace):\n    widths = (3, 4)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        NetwrightError, match=r"failed at stranger.py, line 2, in <module>: PydanticUserError: .*widths"
    ) as caught:
        build("space", "stranger:Mine")
    assert "\n" not in str(caught.value)
