"""The formats in which metrics are told: Prometheus' text, and OpenMetrics with exemplars.

Law: what is asked for is told in a format that the other side knows, or in the plainest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from edgenode.observe.metrics.collectors import Histogram, Values

_NOWHERE = CollectorRegistry(auto_describe=False)

_IDENTIFIER = re.compile(rb"[!#-\[\]-~]{1,118}")
"""One that can be told: OpenMetrics allows 128 characters for the labels of an exemplar, ``request_id`` among them; a
trusted proxy may have chosen anything."""


class _Collected(CollectorRegistry):
    """A registry of what is told in one scrape: the process, and some values.

    :param values: the values.
    """

    def __init__(self, values: Values) -> None:
        super().__init__(auto_describe=False)
        self._values = values

    def collect(self) -> Iterator[Metric]:
        """Every family that has a value."""
        for each in _OF_THE_PROCESS:
            yield from each.collect()
        for family, values in self._values.items():
            metric = _METRICS[family.type](family.name, family.help, labels=family.labels)
            for labels, value in values.items():
                told = [_told(label) for label in labels]
                if isinstance(value, Histogram):
                    metric.add_metric(told, list(_buckets(value)), value.seconds)
                else:
                    metric.add_metric(told, value)
            yield metric


def exposition(values: Values, accept: str) -> tuple[str, bytes]:
    """What a scrape is answered: the content type, and the text.

    :param accept: the value of ``Accept`` (RFC 9110, section 12.5.1), which says whether OpenMetrics is understood.
    """
    try:
        encode, content_type = choose_encoder(accept)
    except Exception:  # a version that is no number
        encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
    return content_type, encode(_Collected(values))


_OF_THE_PROCESS: tuple[Collector, ...] = (ProcessCollector(registry=_NOWHERE), PlatformCollector(registry=_NOWHERE))
"""Memory, processor time and descriptors of the process, and the version of Python."""


def _told(label: str) -> str:
    """A label as UTF-8 can say it: names in certificates may be anything."""
    return label if label.isascii() else label.encode("utf-8", "replace").decode()


_METRICS: dict[str, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _buckets(histogram: Histogram) -> Iterator[tuple[str, float, Exemplar | None]]:
    """The buckets as they are told: each with all below it."""
    bounds = (*map(floatToGoString, histogram.bounds), "+Inf")
    for bound, count, exemplar in zip(bounds, accumulate(histogram.buckets), histogram.exemplars, strict=True):
        yield bound, count, None if exemplar is None else _exemplar(*exemplar)


def _exemplar(identifier: bytes, seconds: float, began: float) -> Exemplar | None:
    if not _IDENTIFIER.fullmatch(identifier):
        return None
    return Exemplar({"request_id": identifier.decode("ascii")}, seconds, began + seconds)
