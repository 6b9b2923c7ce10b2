"""Large networks stay readable: what repeats is folded, lines keep apart, details fill the page."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netwright.core.plugins import build
from netwright.core.shapes import Shapes
from netwright.search_spaces.blocks import blocks_of
from netwright.search_spaces.drawing import draw_svg
from netwright.search_spaces.graph import LayerGraph
from netwright.search_spaces.landmark import landmark_names, load_landmark
from netwright.search_spaces.packing import lanes, shelves
from netwright.search_spaces.space import SearchSpace
from netwright.search_spaces.svg import on_paper

SVG = "{http://www.w3.org/2000/svg}"


def graph_of(name: str) -> LayerGraph:
    landmark = load_landmark(name)
    return landmark.search_space.graph(landmark.resolved(), landmark.shapes)


def words(text: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(text).iter(f"{SVG}text")]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)).map(lambda p: (p[0], p[0] + p[1])), max_size=12))
def test_lines_of_one_lane_never_overlap(spans):
    found = lanes(spans)
    for one, other in combinations(range(len(spans)), 2):
        if found[one] == found[other]:
            assert spans[one][1] <= spans[other][0] or spans[other][1] <= spans[one][0]
    assert set(found) == set(range(max(found, default=-1) + 1))


def test_the_shorter_line_lies_inside():
    assert lanes([(0, 9), (1, 3), (4, 8)]) == [1, 0, 0]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.floats(10, 900), st.floats(10, 900)), min_size=1, max_size=8))
def test_shelves_keep_boxes_apart_and_inside(sizes):
    corners, (width, height) = shelves(sizes, beside=(300, 700), gap=(20, 10))
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
    assert height >= 700
    for left, top, right, bottom in boxes:
        assert left >= 320
        assert top >= 0
        assert right <= width + 1e-6
        assert bottom <= height + 1e-6
    for (a, b, c, d), (e, f, g, h) in combinations(boxes, 2):
        assert c <= e or g <= a or d <= f or h <= b


def test_cells_that_read_the_two_before_them_are_folded():
    found = words(draw_svg(graph_of("darts-v2")))
    assert "stage2 · cell2 – cell6" in found
    assert found.count("each reads the 2 before it") == 3


def test_layers_of_a_dense_stage_are_folded_with_their_range_of_parameters():
    found = words(draw_svg(graph_of("densenet-121")))
    assert "stage3 · layer1 – layer12" in found
    assert "12 × 53.8 k to 99.5 k params" in found


def test_squeeze_and_excitation_is_one_line_of_a_residual_block():
    found = words(draw_svg(graph_of("mobilenet-v3-large")))
    assert "squeeze-excite 24" in found
    assert not [word for word in found if word.startswith("A:")]
    blocks = blocks_of(graph_of("mobilenet-v3-large"))
    assert sum(block.params for block in blocks) == 5_483_032


def test_cells_inside_a_stack_with_a_layer_of_its_own_are_blocks():
    space = build("space", "nasbench101")
    assert isinstance(space, SearchSpace)
    matrix = [[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    labels = ["input", "conv3x3-bn-relu", "conv1x1-bn-relu", "output"]
    decisions = space.from_genotype({"matrix": matrix, "ops": labels})
    names = [block.name for block in blocks_of(space.graph(decisions, Shapes((3, 32, 32), 10)))]
    assert [name for name in names if name.startswith("stack2")] == [
        "stack2",
        "stack2/cell1",
        "stack2/cell2",
        "stack2/cell3",
    ]


@pytest.mark.parametrize("name", landmark_names())
def test_every_landmark_is_drawn_no_larger_than_a_wall(name):
    text = draw_svg(graph_of(name), title=name)
    _, _, width, height = map(float, re.search(r'viewBox="([^"]+)"', text)[1].split())
    assert width < 2700
    assert height < 3700


def test_a_file_of_its_own_is_dark_on_white():
    text = draw_svg(graph_of("lenet-300-100"))
    assert "background" not in text
    assert on_paper(text).startswith(text[: text.index("style=")] + 'style="background:#fff;color:#1f2328;')
