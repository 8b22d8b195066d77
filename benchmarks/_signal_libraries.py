"""What other libraries make of a signal. Runs in their own environment (build/libraries) and knows nothing of Telemed.

Reads a job a line from standard input, ``{"do", "method", "file" (.npy, one lead), "rate_hz"}``, and answers a line
each: ``found`` gives places in samples (or ``error``), ``speed`` the seconds of a long call, of a call on each of
some ten-second windows, and of the reference of the same run. Every method is used as its documentation shows, with
its defaults; zero-phase filters and all.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # one core for everybody

import numpy as np  # noqa: E402 - the number of threads is read when it is imported
from scipy import signal  # noqa: E402

Method = Callable[[Any, float], Any]
LIVE_WINDOW_S = 10.0
LIVE_CALLS = 12  # windows tried, spread over the signal
REFERENCE_SAMPLES = 2_000_000
BEST_OF = 3  # what others do on the machine only ever takes time
LONG_S = 3.0  # a call of this length is not repeated


def gqrs(x: Any, rate_hz: float) -> Any:
    from wfdb.processing import gqrs_detect

    return gqrs_detect(d_sig=np.rint(x * 200).astype(np.int64), fs=rate_hz, adc_gain=200, adc_zero=0)


def gqrs_physical(x: Any, rate_hz: float) -> Any:
    from wfdb.processing import gqrs_detect

    return gqrs_detect(sig=x, fs=rate_hz)


def xqrs(x: Any, rate_hz: float) -> Any:
    from wfdb.processing import XQRS

    detector = XQRS(sig=x, fs=rate_hz)
    detector.detect(verbose=False)
    return detector.qrs_inds


def neurokit(method: str) -> Method:
    def beats(x: Any, rate_hz: float) -> Any:
        import neurokit2 as nk

        clean = nk.ecg_clean(x, sampling_rate=int(rate_hz), method=method)
        return nk.ecg_peaks(clean, sampling_rate=int(rate_hz), method=method)[1]["ECG_R_Peaks"]

    return beats


def sleepecg(x: Any, rate_hz: float) -> Any:
    from sleepecg import detect_heartbeats

    return detect_heartbeats(x, rate_hz)


def biosppy(x: Any, rate_hz: float) -> Any:
    from biosppy.signals import ecg

    return ecg.ecg(signal=x, sampling_rate=rate_hz, show=False)["rpeaks"]


def heartpy(x: Any, rate_hz: float) -> Any:
    import heartpy as hp

    level = hp.remove_baseline_wander(x, rate_hz)
    working, _ = hp.process(hp.scale_data(level), rate_hz)
    return working["peaklist"]


def pulse_neurokit(x: Any, rate_hz: float) -> Any:
    import neurokit2 as nk

    clean = nk.ppg_clean(x, sampling_rate=int(rate_hz), method="elgendi")
    return nk.ppg_findpeaks(clean, sampling_rate=int(rate_hz), method="elgendi")["PPG_Peaks"]


def pulse_heartpy(x: Any, rate_hz: float) -> Any:
    import heartpy as hp

    working, _ = hp.process(hp.scale_data(x), rate_hz)
    kept = np.asarray(working["binary_peaklist"], dtype=bool)
    return np.asarray(working["peaklist"])[kept]


def pulse_biosppy(x: Any, rate_hz: float) -> Any:
    from biosppy.signals import ppg, tools

    filtered = tools.filter_signal(
        signal=x, ftype="butter", band="bandpass", order=4, frequency=[1, 8], sampling_rate=rate_hz)[0]
    return ppg.find_onsets_elgendi2013(signal=filtered, sampling_rate=rate_hz)["onsets"]


def breaths_neurokit(clean_by: str, peaks_by: str) -> Method:
    def breaths(x: Any, rate_hz: float) -> Any:
        import neurokit2 as nk

        clean = nk.rsp_clean(x, sampling_rate=int(rate_hz), method=clean_by)
        return nk.rsp_findpeaks(clean, sampling_rate=int(rate_hz), method=peaks_by)["RSP_Peaks"]

    return breaths


def breaths_biosppy(x: Any, rate_hz: float) -> Any:
    from biosppy.signals import resp

    return resp.resp(signal=x, sampling_rate=rate_hz, show=False)["zeros"][::2]  # up and down: a breath has two


def baseline_of_pleth(x: Any, rate_hz: float) -> Any:
    """Not a library: the pulse wave's slow part, 0.1 to 0.6 Hz forward and back, and its peaks."""
    sos = signal.butter(2, (0.1, 0.6), btype="bandpass", fs=rate_hz, output="sos")
    slow = signal.sosfiltfilt(sos, x)
    return signal.find_peaks(slow, distance=int(rate_hz), prominence=0.3 * float(np.std(slow)))[0]


BEATS: dict[str, tuple[str, Method]] = {
    "wfdb gqrs": ("wfdb", gqrs),
    "wfdb gqrs, of millivolts": ("wfdb", gqrs_physical),
    "wfdb xqrs": ("wfdb", xqrs),
    "neurokit2 neurokit": ("neurokit2", neurokit("neurokit")),
    "neurokit2 pantompkins1985": ("neurokit2", neurokit("pantompkins1985")),
    "neurokit2 kalidas2017": ("neurokit2", neurokit("kalidas2017")),
    "neurokit2 hamilton2002": ("neurokit2", neurokit("hamilton2002")),
    "neurokit2 elgendi2010": ("neurokit2", neurokit("elgendi2010")),
    "sleepecg": ("sleepecg", sleepecg),
    "biosppy hamilton": ("biosppy", biosppy),
    "heartpy": ("heartpy", heartpy),
}
PULSES: dict[str, tuple[str, Method]] = {
    "neurokit2 elgendi": ("neurokit2", pulse_neurokit),
    "heartpy pulse": ("heartpy", pulse_heartpy),
    "biosppy elgendi2013": ("biosppy", pulse_biosppy),
}
BREATHS: dict[str, tuple[str, Method]] = {
    "neurokit2 biosppy": ("neurokit2", breaths_neurokit("biosppy", "biosppy")),
    "neurokit2 khodadad2018": ("neurokit2", breaths_neurokit("khodadad2018", "khodadad2018")),
    "neurokit2 scipy": ("neurokit2", breaths_neurokit("khodadad2018", "scipy")),
    "biosppy resp": ("biosppy", breaths_biosppy),
}
OF_PLETH: dict[str, tuple[str, Method]] = {"baseline 0.1-0.6 Hz": ("scipy", baseline_of_pleth)}
METHODS = {**BEATS, **PULSES, **BREATHS, **OF_PLETH}


def catalogue() -> dict[str, str]:
    """Each method's version: the library's own, and a hash of how it is called here."""
    told = {}
    for name, (library, method) in METHODS.items():
        how = hashlib.sha256(inspect.getsource(method).encode()).hexdigest()[:8]
        told[name] = f"{library}-{importlib.metadata.version(library)}-{how}"
    return told


def seconds(call: Callable[[], object]) -> float:
    """Processor time of one call: other programs of the machine do not count."""
    began = time.process_time()
    call()
    return time.process_time() - began


def reference() -> float:
    """Samples a second of one long sosfilt call: band-pass of order 4, two sections, float64, its state carried."""
    sos = signal.butter(2, (0.5, 40.0), btype="bandpass", fs=500.0, output="sos")
    x = np.random.default_rng(0).normal(size=REFERENCE_SAMPLES)
    state = signal.sosfilt_zi(sos) * x[0]
    return REFERENCE_SAMPLES / min(seconds(lambda: signal.sosfilt(sos, x, zi=state)) for _ in range(3))


def speed(method: Method, x: Any, rate_hz: float) -> dict[str, float | None]:
    """Seconds of one call on all of it, and of a call on ten seconds of it; samples a second of the reference."""
    window = int(LIVE_WINDOW_S * rate_hz)
    best = reference()
    method(x[: 3 * window], rate_hz)  # imports and first-call costs are nobody's speed
    whole = float("inf")
    for _ in range(BEST_OF):
        whole = min(whole, seconds(lambda: method(x, rate_hz)))
        best = max(best, reference())
        if whole > LONG_S:
            break
    calls = []
    for begin in np.linspace(0, len(x) - window, LIVE_CALLS).astype(int):
        part = x[begin : begin + window]
        try:
            calls.append(min(seconds(partial(method, part, rate_hz)) for _ in range(BEST_OF)))
        except Exception:  # noqa: S112 - some refuse a window; the others tell the cost
            continue
    return {
        "offline_s": whole, "samples": len(x), "window_s": statistics.median(calls) if calls else None,
        "reference": max(best, reference()),
    }  # fmt: skip


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job."""
    method = METHODS[job["method"]][1]
    x, rate_hz = np.load(job["file"]), float(job["rate_hz"])
    try:
        if job["do"] == "speed":
            return speed(method, x, rate_hz)
        return {"found": [int(at) for at in np.sort(np.asarray(method(x, rate_hz)).ravel())]}
    except Exception as error:  # a library may fail in any way: it is told, and scored as nothing found
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    told, sys.stdout = sys.stdout, sys.stderr  # libraries print
    told.write(json.dumps(catalogue()) + "\n")
    told.flush()
    for line in sys.stdin:
        told.write(json.dumps(answer(json.loads(line))) + "\n")
        told.flush()


if __name__ == "__main__":
    main()
