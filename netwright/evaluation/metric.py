"""The base of every metric: one number about one model, with its unit and the direction that is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final, get_args

from netwright.core.errors import NetwrightError
from netwright.core.plugins import Plugin, name_of
from netwright.core.records import Direction, Measurement
from netwright.evaluation.subject import Subject

MetricCost = Literal["cheap", "measured", "trained"]


class Metric(Plugin):
    """A number about a model.

    `cost` says what it takes to know it: `cheap` the architecture alone, `measured` an exported model,
    `trained` a trained one. A search asks the cheap ones first. What is not said otherwise is the task's score of the
    metric's own name.
    """

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction]
    cost: ClassVar[MetricCost] = "trained"

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        super().__pydantic_init_subclass__(**settings)
        if cls.cost not in get_args(MetricCost):
            raise TypeError(
                f"the cost of {cls.__name__} is {cls.cost!r}; expected one of {', '.join(get_args(MetricCost))}"
            )

    def measure(self, subject: Subject) -> Measurement:
        """The metric's value for a model; no value, with a reason, when it cannot be known."""
        return self.score(subject, name_of(self))

    @final
    def measured(self, subject: Subject) -> Measurement:
        """What `measure` answers; raises NetwrightError where that is no measurement."""
        found: object = self.measure(subject)
        if isinstance(found, Measurement):
            return found
        expected = "expected a Measurement, as `self.record(value)` makes"
        raise NetwrightError(f"`measure` of the metric {name_of(self)!r} answered {found!r:.100}; {expected}")

    def record(self, value: float | None, *, reason: str = "", **protocol: Any) -> Measurement:
        """A measurement under this metric's name and unit."""
        facts: Mapping[str, Any] = protocol
        number = None if value is None else float(value)
        return Measurement(metric=name_of(self), value=number, unit=self.unit, reason=reason, protocol=facts)

    def score(self, subject: Subject, name: str) -> Measurement:
        """The task's score of that name on the validation split; absent when the task has no such score."""
        scores = subject.scores()
        if name not in scores:
            reason = f"the task gives no score {name!r}; it gives {', '.join(sorted(scores)) or 'none'}"
            return self.record(None, reason=reason)
        return self.record(scores[name], split="validation")
