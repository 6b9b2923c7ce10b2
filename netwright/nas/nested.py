"""Plugins inside a strategy's settings: another strategy, or proxies, given by name or specification."""

from __future__ import annotations

from typing import Annotated

from netwright.core.plugins import field_of
from netwright.evaluation.proxy import Proxy
from netwright.nas.strategy import Strategy

InnerStrategy = Annotated[Strategy, *field_of(Strategy)]
InnerProxy = Annotated[Proxy, *field_of(Proxy)]
