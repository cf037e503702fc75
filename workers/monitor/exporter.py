"""Readings in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from workers.monitor import readings
from workers.monitor.catalog import COUNTED, METRICS, READ, Metric
from workers.monitor.readings import Histogram, Reading

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family


class Exporter(Collector):
    """Reads when Prometheus asks."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read

    def collect(self) -> Iterator[Family]:
        """Every metric that there is something to say of."""
        reading = self._read()
        for name, metric in READ.items():
            yield _family(metric, reading.values.get(name, {}))
        for name, metric in COUNTED.items():
            series = {
                (account, *labels): value
                for account, fields in reading.counted.items()
                for labels, value in readings.counted(fields, name).items()
            }
            yield _family(metric, series)

    def describe(self) -> list[Family]:
        """Nothing is read to find out the names."""
        return [_family(metric, {}) for metric in METRICS.values()]


def _family(metric: Metric, series: Mapping[tuple[str, ...], float | Histogram]) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*(repr(bound) for bound in metric.buckets), "+Inf"]
        for labels, value in series.items():
            assert isinstance(value, Histogram)  # noqa: S101 - by its kind
            buckets = list(zip(bounds, accumulate(value.counts), strict=True))
            histogram.add_metric(labels, buckets, value.total)
        return histogram
    plain = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = plain(metric.name, metric.help, labels=metric.labels)
    for labels, value in series.items():
        assert not isinstance(value, Histogram)  # noqa: S101 - by its kind
        family.add_metric(labels, value)
    return family
