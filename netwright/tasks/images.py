"""Images in any usual layout made into [N, channels, height, width], and resized on request."""

from __future__ import annotations

from typing import Literal

import numpy as np

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray

Layout = Literal["auto", "NHW", "NHWC", "NCHW"]
Size = tuple[int, int]
CHANNELS = (1, 3, 4)


def channels_first(images: AnyArray, *, layout: Layout = "auto", where: str) -> AnyArray:
    """Images as [N, C, H, W]; raises DataError when the layout does not fit or cannot be told.

    With `auto`, three axes are grey images [N, H, W]. With four axes, an axis of 1, 3 or 4 values is
    taken as the channels: the second (NCHW) or the last one (NHWC). When both would do, NCHW is taken.
    """
    if layout == "auto":
        layout = _layout_of(images, where)
    if images.ndim != len(layout):
        raise DataError(f"{where}: images of shape {images.shape} are not {layout}; correct `layout`")
    if layout == "NHW":
        return images[:, None]
    return images.transpose(0, 3, 1, 2) if layout == "NHWC" else images


def resized(images: AnyArray, *, size: Size) -> AnyArray:
    """Images [N, C, H, W], uint8 or any number, as [N, C, *size] (bilinear, with anti-aliasing)."""
    from PIL import Image

    if images.shape[2:] == size:
        return images
    kind = np.uint8 if images.dtype == np.uint8 else np.float32
    planes = np.ascontiguousarray(images.reshape(-1, *images.shape[2:]), dtype=kind)
    done = [Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR) for plane in planes]
    return np.stack([np.asarray(plane) for plane in done]).reshape(*images.shape[:2], *size)


def _layout_of(images: AnyArray, where: str) -> Layout:
    if images.ndim == 3:
        return "NHW"
    if images.ndim == 4 and images.shape[1] in CHANNELS:
        return "NCHW"
    if images.ndim == 4 and images.shape[3] in CHANNELS:
        return "NHWC"
    raise DataError(
        f"{where}: images of shape {images.shape} have no axis of 1, 3 or 4 channels; "
        "give [N, height, width], [N, height, width, channels] or [N, channels, height, width], or set `layout`"
    )
