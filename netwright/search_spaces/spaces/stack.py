"""Search space made of others, one on top of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.plugins import build, name_of
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.graph import GraphBuilder, Tensor, placed
from netwright.search_spaces.outline import Outline
from netwright.search_spaces.space import SearchSpace

HEAD = "head"
"""The scope of a space's last layers, which a part with another on top of it goes without."""


def _space(spec: Any) -> SearchSpace:
    found = spec if isinstance(spec, SearchSpace) else build("space", spec)
    assert isinstance(found, SearchSpace)
    return found


Part = Annotated[SerializeAsAny[SearchSpace], BeforeValidator(_space)]
DEFAULT: tuple[dict[str, Any], ...] = (
    {"kind": "convnet", "depth": [1, 3], "strides": [1, 1]},
    {"kind": "recurrent", "depth": [1, 2], "widths": [16, 32, 64]},
)


class Stack(SearchSpace):
    """Spaces one on top of the other, such as a recurrent head on a convolutional body, or cells after a stem.

    Every part but the last goes without its head (what it puts under the scope `head`), and the next one
    reads what is left: a space for sequences reads a feature map row by row. All parts are searched together;
    the decisions of the first are under `part1`, and so on. Auxiliary heads of the parts stay.
    """

    parts: tuple[Part, ...] = Field(
        default_factory=lambda: tuple(_space(spec) for spec in DEFAULT),
        min_length=1,
        description="spaces with their settings, from the input to the output",
    )

    example_inputs: ClassVar[tuple[Shapes, ...]] = (Shapes((1, 28, 28), 10), Shapes((3, 17, 20), 4))

    def decide(self, choose: Chooser) -> list[Any]:
        plans = []
        for number, part in enumerate(self.parts, start=1):
            with choose.scope(f"part{number}"):
                plans.append(part.decide(choose))
        return plans

    def lower(self, plan: Sequence[Any], net: GraphBuilder, shapes: Shapes) -> Tensor:
        x = net.input
        for number, (part, chosen) in enumerate(zip(self.parts, plan, strict=True), start=1):
            inner = GraphBuilder(x.shape, for_training=net.for_training)
            try:
                output = part.lower(chosen, inner, shapes)
            except ShapeError as error:
                raise placed(error, f"part{number}") from None
            whole = inner.outline(output)
            outline = _without_head(whole, name_of(part)) if number < len(self.parts) else whole
            if inner.sides:
                tensors = net.inline(whole, x, name=f"part{number}")
                net.sides += [tensors[side.number] for side in inner.sides]
                x = tensors[outline.output]
            else:
                x = net.embed(outline, x, name=f"part{number}")
        return x


def _without_head(outline: Outline, name: str) -> Outline:
    """What the head of a network reads, as a network of its own."""
    arity = len(outline.input_shapes)
    in_head = [(*item.scopes, item.name)[0] == HEAD for item in outline.items]
    head = {number for number, inside in enumerate(in_head, start=arity) if inside}
    read = {n for n, item in enumerate(outline.items, start=arity) if n in head for n in item.inputs} - head
    read = {n for n in read if n >= arity} or read  # a head may look at the input too, such as for what is filling
    if len(read) != 1:
        raise SpaceError(f"the space {name!r} cannot be under another: it has no head of one input (scope {HEAD!r})")
    (output,) = read
    # the head comes last, so what is before it keeps its numbers
    return Outline(outline.input_shapes, outline.items[: output - arity + 1], output)
