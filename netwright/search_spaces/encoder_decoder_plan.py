"""The plan of an encoder-decoder: what was decided, and how its feature maps lie over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import floor
from typing import Literal

from netwright.core.errors import ShapeError
from netwright.search_spaces.operations.activation import Function
from netwright.search_spaces.pixel_axis import PixelAxis

Decoder = Literal["levels", "scores"]
Bottom = Literal["convolutions", "classifier"]
Convolution = Literal["same", "valid"]
DownSampling = Literal["stride", "max", "average"]
UpSampling = Literal["nearest", "bilinear", "bicubic", "bed_of_nails", "max_unpool", "transposed", "sub_pixel"]
SkipKind = Literal["none", "concat", "sum"]

CLASSIFIER_KERNEL = 7
"""Window of a classifier's first fully connected layer read as a convolution, as in VGG."""
WIDEST_BORDER = 1024


@dataclass(frozen=True, slots=True)
class Level:
    """Convolutions at one resolution: how many, and their filters."""

    filters: int
    convolutions: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The levels from fine to coarse, the bottom below them, and what all of them share."""

    levels: tuple[Level, ...]
    bottom: Level
    bottom_kind: Bottom
    decoder: Decoder
    convolution: Convolution
    kernel: int
    head_kernel: int
    up_kernel: int
    down_sampling: DownSampling
    up_sampling: UpSampling
    skip: SkipKind
    fused: int
    batch_norm: bool
    activation: Function
    dropout: float
    residual: bool

    @property
    def loses(self) -> bool:
        """Whether unpadded windows eat the border, so that the result is the middle of what is read."""
        return self.convolution == "valid" or self.bottom_kind == "classifier"

    @property
    def ceil(self) -> bool:
        """Whether down-sampling keeps a last window that is only partly filled."""
        return self.convolution == "same"

    @property
    def last_factor(self) -> int:
        """How many times a decoder of scores enlarges its last sum."""
        return int(2 ** (len(self.levels) - self.fused))


@dataclass(frozen=True, slots=True)
class AxisPlan:
    """Pixels to add before and after one axis at every place where maps meet; negative numbers cut away.

    `joins` and `places` go from the coarsest level to the finest. A join lays the skip connection over the decoder
    (or the decoder over it, where nothing is lost), a place the tensor before pooling over what is unpooled.
    `end` lays the result over the output, `middle` the input over it.
    """

    border: int
    joins: tuple[tuple[int, int], ...]
    places: tuple[tuple[int, int], ...]
    end: tuple[int, int]
    middle: tuple[int, int]


@lru_cache(maxsize=1024)
def plan_axis(plan: Plan, size: int, target: int, border: int | None) -> AxisPlan:
    """How maps meet along an axis of `size` pixels that is to give `target` of them.

    Without a given border, zeros are put around the input until the result covers the target.
    Raises ShapeError when no border is wide enough.
    """
    wanted = PixelAxis(target, 1.0, float(floor((size - target) / 2))) if plan.loses else PixelAxis(size)
    least, most = (0, WIDEST_BORDER) if border is None else (border, border + 1)
    for width in range(least, most):
        found = _try_border(plan, PixelAxis(size), wanted, width)
        if found and (border is not None or not plan.loses or max(found.end) <= 0):
            return found
    what = f"a border of {border} zeros" if border is not None else "any border of zeros"
    raise ShapeError(f"{size} pixels with {what} leave nothing for {target} pixels of output")


def _try_border(plan: Plan, whole: PixelAxis, wanted: PixelAxis, border: int) -> AxisPlan | None:
    x = PixelAxis(whole.size + 2 * border, 1.0, -float(border))
    sides, pooled = [], []
    for level in plan.levels:
        before = _convolved(plan, x, level)
        x = before.window(kernel=2, stride=2, ceil=plan.ceil)
        sides.append(before)
        pooled.append(x)
    x = _bottom(plan, x)
    if x.size < 1:
        return None
    decode = _decode_levels if plan.decoder == "levels" else _decode_scores
    joins, places, x = decode(plan, x, sides, pooled)
    return AxisPlan(border, joins, places, x.change_to(wanted), whole.change_to(wanted)) if x.size > 0 else None


Places = tuple[tuple[int, int], ...]


def _decode_levels(
    plan: Plan, x: PixelAxis, sides: Sequence[PixelAxis], pooled: Sequence[PixelAxis]
) -> tuple[Places, Places, PixelAxis]:
    joins, places = [], []
    for level, side, small in reversed(list(zip(plan.levels, sides, pooled, strict=True))):
        up = x.enlarged(2)
        if plan.loses:
            joins.append(side.change_to(up))
            places.append(joins[-1])
        else:
            # coarse maps are rounded up, so a side may be one pixel shorter than twice its half
            up = side if plan.up_sampling == "max_unpool" and x == small else up
            joins.append(up.change_to(side))
            places.append((0, 0))
            up = side
        x = _convolved(plan, up, level)
    return tuple(joins), tuple(places), x


def _decode_scores(
    plan: Plan, x: PixelAxis, sides: Sequence[PixelAxis], pooled: Sequence[PixelAxis]
) -> tuple[Places, Places, PixelAxis]:
    del sides
    joins = []
    for index in range(plan.fused):
        up = x.enlarged(2, kernel=4 if plan.up_sampling == "transposed" else 0)
        joins.append(pooled[-2 - index].change_to(up))
        x = up
    factor = plan.last_factor
    if factor == 1:
        return tuple(joins), (), x
    return tuple(joins), (), x.enlarged(factor, kernel=2 * factor if plan.up_sampling == "transposed" else 0)


def _bottom(plan: Plan, x: PixelAxis) -> PixelAxis:
    if plan.bottom_kind == "classifier":
        return x.window(kernel=CLASSIFIER_KERNEL)
    return _convolved(plan, x, plan.bottom)


def _convolved(plan: Plan, x: PixelAxis, level: Level) -> PixelAxis:
    padding = plan.kernel // 2 if plan.convolution == "same" else 0
    for _ in range(level.convolutions):
        x = x.window(kernel=plan.kernel, padding=padding)
    return x
