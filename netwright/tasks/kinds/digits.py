"""The task of classifying scikit-learn's small digits."""

from __future__ import annotations

import numpy as np

from netwright.tasks.data import Arrays
from netwright.tasks.task import Task


class Digits(Task):
    """Classify 1,797 handwritten digits of 8x8 pixels; comes with scikit-learn, trains in seconds.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.
    """

    def load(self) -> Arrays:
        from sklearn.datasets import load_digits

        images, targets = load_digits(return_X_y=True)
        return Arrays(train=(images.reshape(-1, 1, 8, 8).astype(np.uint8), targets.astype(np.int64)))
