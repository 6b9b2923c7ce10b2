"""A peer: another library's search, run by its own ask and tell on the same table."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from netwright.core.errors import UnknownNameError
from netwright.core.records import Decisions, Objective
from netwright.search_spaces.space import SearchSpace


class Peer(ABC):
    """One search of another library; every ask is followed by a tell."""

    @abstractmethod
    def ask(self) -> Decisions | None:
        """The next architecture; None when what the library suggested is none of the space."""

    @abstractmethod
    def tell(self, losses: Sequence[float] | None) -> None:
        """The result of the last ask, smaller is better; None when it has none."""


def libraries() -> list[str]:
    """The libraries that a peer can be taken from: every file in `peers/` is one."""
    package = importlib.import_module("netwright.nas.benchmarking.peers")
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(package.__path__))


def make_peer(
    library: str,
    method: str,
    *,
    settings: Mapping[str, Any],
    space: SearchSpace,
    objectives: Sequence[Objective],
    seed: int,
) -> Peer:
    """A new search by a library's method, `settings` being that method's own arguments.

    Raises UnknownNameError for a library or method that is not there, MissingPackageError when it is not installed,
    ConfigurationError for settings it does not take.
    """
    if library not in libraries():
        raise UnknownNameError("library of peers", library, libraries())
    module = importlib.import_module(f"netwright.nas.benchmarking.peers.{library.replace('-', '_')}")
    peer = module.make(method, settings=settings, space=space, objectives=objectives, seed=seed)
    assert isinstance(peer, Peer)
    return peer
