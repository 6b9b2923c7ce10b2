"""The task of classifying clothes: the part of Fashion-MNIST that comes with the package."""

from __future__ import annotations

from importlib.resources import as_file, files

from netwright.tasks.data import Arrays
from netwright.tasks.npz_file import read_arrays
from netwright.tasks.task import Task


class FashionMnist(Task):
    """Classify clothes in 28x28 grey images: 10,000 to train and 2,000 to test, of ten classes.

    Source: Xiao, Rasul and Vollgraf, Fashion-MNIST, arXiv:1708.07747; a class-balanced part of it.
    """

    def load(self) -> Arrays:
        with as_file(files("netwright.tasks") / "bundled" / "fashion_mnist_12k.npz") as path:
            return read_arrays(path).with_inputs(lambda images: images[:, None])
