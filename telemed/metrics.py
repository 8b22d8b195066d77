"""Counters that ``/metrics`` shows; none carries a patient's, an account's or a station's name.

Every part adds its own counters here by importing :data:`REGISTRY`, so that one page lists them all.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

ERRORS = Counter("telemed_errors", "Refusals and failures by stable code", ["code"], registry=REGISTRY)
REQUESTS = Counter(
    "telemed_requests", "Answered HTTP requests", ["method", "route", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "telemed_request_seconds",
    "Time from a request's head to its answer, WebSockets excepted",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=REGISTRY,
)
DENIALS_UNRECORDED = Counter(
    "telemed_denials_unrecorded", "Refusals of nobody in particular that are not in the audit: too many of one address",
    registry=REGISTRY,
)
