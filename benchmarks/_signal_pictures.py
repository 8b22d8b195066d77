"""Pictures of the missed and the extra beats, a sheet a record. Runs in the libraries' environment, which draws.

``python _signal_pictures.py SHEET.npz PICTURE.png``: the sheet has both leads (``x_mv``), the reference's beats with
labels, ours, and the errors.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

SHEETS: Final = 12  # the records with most errors
STRIPS: Final = 18  # of a sheet
STRIP_S: Final = 8.0


def strips(errors: Any, rate_hz: float) -> list[tuple[int, int]]:
    """Stretches that hold the errors, those within one strip together; the first ones and then some of every part."""
    found: list[tuple[int, int]] = []
    for at in np.sort(errors):
        if not found or at > found[-1][1] - rate_hz:
            begin = max(0, int(at - STRIP_S / 2 * rate_hz))
            found.append((begin, begin + int(STRIP_S * rate_hz)))
    if len(found) <= STRIPS:
        return found
    return [found[k] for k in np.linspace(0, len(found) - 1, STRIPS).astype(int)]


def draw(sheet: Path, picture: Path) -> None:
    """One picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with np.load(sheet) as kept:
        x, rate_hz, name = kept["x_mv"], float(kept["rate_hz"]), str(kept["name"])
        reference, labels, ours = kept["reference"], kept["labels"], kept["ours"]
        missed, extra = kept["missed"], kept["extra"]
    places = strips(np.concatenate([missed, extra]), rate_hz)
    figure, axes = plt.subplots(
        max(1, (len(places) + 1) // 2), 2, figsize=(20, 1 + 2.1 * max(1, (len(places) + 1) // 2)), squeeze=False)
    for axis, (begin, end) in zip(axes.flat, places, strict=False):
        t = np.arange(begin, min(end, x.shape[1])) / rate_hz
        first = x[0, begin : begin + len(t)]
        top, low = float(first.max()), float(first.min())
        axis.plot(t, first, color="black", linewidth=0.7)
        if len(x) > 1:
            second = x[1, begin : begin + len(t)]
            axis.plot(t, second - second.max() + low - 0.2, color="gray", linewidth=0.6)
        for at, label in zip(reference, labels, strict=True):
            if begin <= at < end:
                bad = at in missed
                axis.text(at / rate_hz, top, str(label), color="red" if bad else "green", ha="center", va="bottom",
                          fontsize=12 if bad else 8)
        for at in ours[(ours >= begin) & (ours < end)]:
            bad = at in extra
            axis.axvline(at / rate_hz, color="red" if bad else "tab:blue", linewidth=1.6 if bad else 0.6,
                         linestyle="-" if bad else ":")
        axis.set_xlim(t[0], t[-1])
        axis.tick_params(labelsize=7)
    figure.suptitle(f"{name}: {len(missed)} missed (red letters), {len(extra)} extra (red lines), full record")
    figure.tight_layout()
    figure.savefig(picture, dpi=70)


def sheets(accuracy: Any, folder: Path, python: Path) -> list[Path]:
    """Draw the records with most errors of our one-lead detector, the worst first."""
    from _signal_halves import MIT
    from _signal_records import mit
    from _signal_score import within

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    pairs = {name: within(mit(name), accuracy.found[name].at, 150) for name in MIT}
    worst = sorted(MIT, key=lambda name: -(len(pairs[name].missed) + len(pairs[name].extra)))[:SHEETS]
    drawn = []
    for place, name in enumerate(worst, 1):
        record, one = mit(name), pairs[name]
        if not len(one.missed) + len(one.extra):
            break
        sheet, picture = folder / f"{name}.npz", folder / f"{place:02}-{name}.png"
        np.savez(
            sheet, x_mv=record.x_mv, rate_hz=record.rate_hz, name=name, reference=record.beats,
            labels=np.array(record.labels), ours=accuracy.found[name].at, missed=one.missed, extra=one.extra,
        )  # fmt: skip
        subprocess.run([python, __file__, sheet, picture], check=True)
        sheet.unlink()
        drawn.append(picture)
    return drawn


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
