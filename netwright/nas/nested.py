"""Plugins inside a strategy's settings: another strategy, or proxies, given by name or specification."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from netwright.core.plugins import build, spec_of
from netwright.evaluation.proxy import Proxy
from netwright.nas.strategy import Strategy

InnerStrategy = Annotated[Strategy, BeforeValidator(lambda spec: build("strategy", spec)), PlainSerializer(spec_of)]
InnerProxy = Annotated[Proxy, BeforeValidator(lambda spec: build("proxy", spec)), PlainSerializer(spec_of)]
