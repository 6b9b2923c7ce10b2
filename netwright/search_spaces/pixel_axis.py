"""One axis of a feature map: where its pixels lie on the input, and how maps are laid over each other."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor


@dataclass(frozen=True, slots=True)
class PixelAxis:
    """`size` pixels, the centre of pixel i at `start + step·i` on the input; size < 1 means nothing is left."""

    size: int
    step: float = 1.0
    start: float = 0.0

    def window(self, *, kernel: int, stride: int = 1, padding: int = 0, ceil: bool = False) -> PixelAxis:
        """What a sliding window leaves; `ceil` keeps a last window that is only partly filled."""
        room = self.size + 2 * padding - kernel
        size = (-(-room // stride) if ceil else room // stride) + 1 if room >= 0 or ceil else 0
        return PixelAxis(size, self.step * stride, self.start + self.step * ((kernel - 1) / 2 - padding))

    def enlarged(self, factor: int, *, kernel: int = 0) -> PixelAxis:
        """A grid `factor` times as fine; with `kernel`, as an unpadded transposed convolution makes it."""
        kernel = kernel or factor
        size = (self.size - 1) * factor + kernel
        return PixelAxis(size, self.step / factor, self.start - self.step * (kernel - 1) / 2 / factor)

    def change_to(self, other: PixelAxis) -> tuple[int, int]:
        """Pixels to add before and after this axis so that it lies over `other`; negative numbers cut away."""
        # half a pixel of difference goes to the end, so that the first pixels stay together
        before = floor((self.start - other.start) / self.step + 0.5)
        return before, other.size - self.size - before
