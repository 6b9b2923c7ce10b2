"""Time of one inference on a device, predicted from that device's latency table."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class PredictedLatencyMs(Metric):
    """Latency on the device of the recipe's `search.latency_table`, predicted before anything is built or trained.

    The protocol names the device, says whether the table was measured on this machine, and counts the units of
    the network that are not in the table and were judged by their sizes.
    """

    unit: ClassVar[str] = "ms"
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "cheap"

    def measure(self, subject: Subject) -> Measurement:
        if subject.latency_table is None:
            return self.record(
                None,
                reason="no latency table is given; make one with `netwright latency build` and name it in "
                "search.latency_table",
            )
        if subject.graph is None:
            return self.record(None, reason="the network's operations are not known")
        from netwright.evaluation.latency_predictor import predictor_of

        predictor = predictor_of(subject.latency_table)
        table, found = predictor.table, predictor.predict(subject.graph())
        return self.record(
            found.latency_ms,
            device=table.device,
            runtime=table.runtime,
            this_machine=table.of_this_machine,
            threads=table.protocol.get("threads"),
            statistic=table.protocol.get("statistic"),
            lookup_ms=found.lookup_ms,
            factor=table.factor,
            units=found.units,
            extrapolated=found.extrapolated,
            median_error=table.accuracy.get("held_out", {}).get("median_error"),
        )
