"""One part, and the numbers, as CSV (RFC 4180, UTF-8): a row a sample, an empty cell where one is missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import IO, Any, Final

import numpy as np

from telemed.vitals.export.parts import Part
from telemed.vitals.fixes import moment
from telemed.vitals.live import Channel
from telemed.vitals.storage.reading_columns import MISSING, Samples

ROWS: Final = 4_096  # made at a time: 10 ms of work with 12 leads
NUMBER_NAMES: Final = ("time_utc", "kind", "value", "unit", "quality", "source", "more")
FORMULAS: Final = "=+-@\t\r"  # what a spreadsheet would begin to compute at


class CsvWriter:
    """Writes one part into ``target``: sample since the epoch began, time, seconds, and the physical values."""

    def __init__(self, target: IO[bytes], part: Part) -> None:
        self._target, self._part, self._at = target, part, 0
        names = [f"{_plain(channel.name)} [{channel.unit}]" for channel in part.stream.card.channels]
        self._target.write(_row(["sample", "time_utc", "seconds", *names]))

    def feed(self, samples: Samples) -> None:
        """Take the next samples, int32 (channels, n)."""
        for begin in range(0, samples.shape[1], ROWS):
            self._rows(samples[:, begin : begin + ROWS])

    def end(self) -> None:
        """Nothing is left over."""

    def _rows(self, samples: Samples) -> None:
        card, n = self._part.stream.card, samples.shape[1]
        num, den = card.rate or (1, 1)
        since = self._at + np.arange(n, dtype=np.int64)
        self._at += n
        micros = (since * den * 2_000_000 + num) // (2 * num)  # as StreamCard.sample_us
        times = np.datetime_as_string((self._part.t0_us + micros).astype("datetime64[us]"), unit="us")
        cells = [
            (since + self._part.first).astype(str).tolist(), [f"{one}Z" for one in times.tolist()],
            [f"{one / 1_000_000:.6f}" for one in micros.tolist()],
            *(_physical(channel, samples[at]) for at, channel in enumerate(card.channels)),
        ]
        lines = [",".join(row) for row in zip(*cells, strict=True)]
        self._target.write(("\r\n".join(lines) + "\r\n").encode())


def numbers_csv(readings: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """The devices' numbers as the review names them, a row each; the first row names the columns."""
    yield _row(NUMBER_NAMES)
    for one in readings:
        more = ";".join(f"{name}={value}" for name, value in one["extra"].items() if value is not None)
        at = moment(one["at_us"]).replace(tzinfo=None).isoformat(timespec="microseconds")
        yield _row([
            f"{at}Z", one["kind"], one["value"] or "", one["unit"], ";".join(one["quality"]), _plain(one["source"]),
            _plain(more),
        ])


def _physical(channel: Channel, samples: Samples) -> list[str]:
    """Exact decimals: gain and offset as their shortest texts, times and plus without rounding."""
    gain, offset = Decimal(repr(channel.gain)), Decimal(repr(channel.offset))
    known, places = np.unique(samples, return_inverse=True)
    texts = np.array(
        ["" if one == MISSING else _decimal(one * gain + offset) for one in known.tolist()], dtype=object)
    return list(texts[places])


def _decimal(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(text: str) -> str:
    """Text of a device that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(tuple(FORMULAS)) else text


def _row(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode()
