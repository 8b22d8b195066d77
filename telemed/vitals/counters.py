"""Counters of the vital-sign way; none carries a name of a patient or a station."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from telemed.metrics import REGISTRY

REFUSED = Counter("telemed_uplink_refused", "Messages refused, by stable code", ["socket", "code"], registry=REGISTRY)
CHUNKS = Counter("telemed_uplink_chunks", "Chunks that passed every check", ["format"], registry=REGISTRY)
DEVICE_FAULTS = Counter("telemed_device_faults", "What devices sent and should not have", ["code"], registry=REGISTRY)
COMMITTED = Counter("telemed_chunks_committed", "Chunks stored", registry=REGISTRY)
DUPLICATES = Counter("telemed_chunks_duplicate", "Chunks that were stored already", registry=REGISTRY)
QUEUED_BYTES = Gauge("telemed_commit_queued_bytes", "Bytes taken and not yet committed", registry=REGISTRY)
COMMIT_SECONDS = Histogram(
    "telemed_commit_seconds", "From taking a chunk to its commit", registry=REGISTRY,
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
STATIONS_CONNECTED = Gauge("telemed_stations_connected", "Stations with an open uplink", registry=REGISTRY)
WATCHERS = Gauge("telemed_watchers", "Open consultation sockets", registry=REGISTRY)
FRAMES_SENT = Counter("telemed_view_frames", "View frames given to watchers", registry=REGISTRY)
FRAMES_DROPPED = Counter("telemed_view_frames_dropped", "View frames dropped for slow watchers", registry=REGISTRY)
GAPS = Counter("telemed_live_gaps", "Holes in live streams", registry=REGISTRY)
SIGNAL_SECONDS = Histogram(
    "telemed_signal_seconds", "Turns of the server's loop that signal work took: nothing else is done meanwhile",
    ["work"], registry=REGISTRY, buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
)
