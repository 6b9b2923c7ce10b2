"""Peak signal-to-noise ratio of images."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class Psnr(Metric):
    """Peak signal-to-noise ratio of the images on the validation split, the mean over images."""

    unit: ClassVar[str] = "dB"
    direction: ClassVar[Direction] = "maximize"
