"""How much a publisher may send, and which layer a viewer's line carries. Pure; ``now_s`` is any steady clock.

:class:`Uplink` is for a publisher that obeys REMB alone; a browser with transport-wide feedback works it out itself.
:class:`Downlink` decides over the picture only: a viewer's voice is never its business.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from telemed.media.relay.extensions import ABS_SEND_TIME_BITS, ABS_SEND_TIME_HZ

FLOOR_BITS_S = 50_000  # the least that is ever allowed: a still picture now and then
START_BITS_S = 300_000  # allowed without proof: any line that carries a call
LOSS_FLOOR_BITS_S = 150_000  # loss alone takes nothing below this: a radio link loses at any rate

SLOT_SECONDS = 0.1  # what is counted together
RATE_SLOTS = 10  # the received rate is that of the last second: a key frame and a pause level out
LOSS_SLOTS = 20  # loss is that of the last two seconds
LOSS_PACKETS_LEAST = 20  # fewer say nothing about a share of a tenth
DELAY_SLOTS = 4  # the least delay of 0.4 s: a queue that stands delays the fastest packet too, jitter does not
BASE_SECONDS = 30  # the empty line's delay is the least of so long; clocks drift 3 ms meanwhile
SILENCE_SECONDS = 2.0  # after it the line may be another one

QUEUE_HIGH_SECONDS = 0.1  # longer than the empty line takes: send less
QUEUE_LOW_SECONDS = 0.05  # from here to the above the rate stays
YIELD = 0.85  # of the received rate, which is what the line carries while it has a queue
QUEUE_LONG_SECONDS = 0.3  # the waves on the same line wait too: drain it sooner
YIELD_LONG = 0.5
HOLD_SECONDS = 1.0  # between two steps down: the round trip, the encoder and the window have to follow
DRAIN_SECONDS = 0.03  # a queue that falls less in a hold is not of our making
YIELDS = 4  # steps down without the queue falling; then the way itself is longer, and that is the empty line now
LOSS_HIGH = 0.10  # below it loss lowers nothing: it is repaired
LOSS_DOUBT = 0.6  # over the root of the packets counted: two standard deviations of a tenth
LOSS_NOTICED = 0.02  # above it the rate grows with care

GROW_FAST = 1.5  # times a second, where nothing is known against it: 0.3 to 2.5 Mbit/s in 5.3 s
GROW_LOSSY = 1.15  # times a second on a line that loses packets: 0.3 to 1.2 Mbit/s in 10 s
GROW_NEAR = 1.03  # times a second near a rate that was too much: a queue of 0.1 s takes 2.6 s to build
NEAR = (0.8, 1.2)  # of that rate; above it the line has become wider
UNPROVEN = 2.0  # times what is received: an encoder that needs little proves little
STEP_SECONDS_MOST = 0.5  # of growth at once


@dataclass(slots=True)
class _Slot:
    """What came in one tenth of a second."""

    number: int
    size_bytes: int = 0
    packets: int = 0
    lost: int = 0
    delay_s: float = math.inf  # the least


class Uplink:
    """The bound for one publisher's picture, between :data:`FLOOR_BITS_S` and ``cap_bits_s``, which may be set anew.

    A queue that builds on the way (the delay grows against the least of half a minute) lowers it to 0.85 of what is
    received, a long one to half of it. Loss lowers it only above a tenth. Without either it grows, as far as what is
    received proves it. After silence it begins at half of what it was.

    ``stamp_hz`` and ``stamp_bits`` describe the packets' send stamps: the absolute send time, or 90,000 and 32 for RTP
    timestamps of a picture.
    """

    def __init__(self, cap_bits_s: int, stamp_hz: int = ABS_SEND_TIME_HZ, stamp_bits: int = ABS_SEND_TIME_BITS) -> None:
        self.cap_bits_s = cap_bits_s
        self._stamp_hz = stamp_hz
        self._stamp_mask = (1 << stamp_bits) - 1
        self._rate = float(min(START_BITS_S, cap_bits_s))
        self._too_much: float | None = None  # the received rate at the last queue
        self._slots: deque[_Slot] = deque(maxlen=LOSS_SLOTS + 1)
        self._base: deque[tuple[int, float]] = deque(maxlen=BASE_SECONDS)  # second, its least delay
        self._stamp: int | None = None  # the newest
        self._sent_s = 0.0  # the same, unrolled
        self._timed_s = -math.inf  # when it came
        self._heard_s = -math.inf
        self._grown_s = -math.inf
        self._lowered_s = -math.inf
        self._queue_at_lowering_s = math.inf
        self._undrained = 0

    def note(self, now_s: float, stamp: int, size_bytes: int, lost: int = 0) -> None:
        """A packet came. ``lost``: how many are missing right before it; -1 for one that was called lost before."""
        if now_s - self._heard_s > SILENCE_SECONDS:
            self._resume()
            lost = 0  # of the silence, not of the line
        self._heard_s = now_s
        number = int(now_s / SLOT_SECONDS)
        slots = self._slots
        if not slots or slots[-1].number != number:
            slots.append(_Slot(number))
        slot = slots[-1]
        slot.size_bytes += size_bytes
        slot.packets += 1
        slot.lost += lost
        if self._stamp is not None:
            ahead = (stamp - self._stamp) & self._stamp_mask
            # More than half the range ahead is behind: a packet that was sent again. Stamps that begin anew are behind
            # for long, and then jump ahead: the delay falls, and so does the least.
            if ahead > self._stamp_mask >> 1 and now_s - self._timed_s < SILENCE_SECONDS:
                return
            self._sent_s += ahead / self._stamp_hz
        self._stamp = stamp
        self._timed_s = now_s
        delay_s = now_s - self._sent_s
        slot.delay_s = min(slot.delay_s, delay_s)
        if not self._base or self._base[-1][0] != int(now_s):
            self._base.append((int(now_s), delay_s))
        elif delay_s < self._base[-1][1]:
            self._base[-1] = (int(now_s), delay_s)

    def bits_s(self, now_s: float) -> int:
        """What the publisher may send now. It moves when asked: ask two to ten times a second."""
        step_s = min(now_s - self._grown_s, STEP_SECONDS_MOST)
        if step_s >= SLOT_SECONDS:
            self._grown_s = now_s
            if now_s - self._heard_s < STEP_SECONDS_MOST:  # silence proves nothing
                self._weigh(now_s, step_s)
        self._rate = min(max(self._rate, FLOOR_BITS_S), self.cap_bits_s)
        return int(self._rate)

    def _weigh(self, now_s: float, step_s: float) -> None:
        received = self._received_bits_s(now_s)
        if received == 0.0:  # the first tenth of a second is not over
            return
        queue_s = self._queue_s(now_s)
        loss, doubt = self._loss(now_s)
        if queue_s > QUEUE_HIGH_SECONDS or loss > LOSS_HIGH + doubt:
            if now_s - self._lowered_s < HOLD_SECONDS:
                return
            self._lowered_s = now_s
            self._too_much = received
            if queue_s > QUEUE_HIGH_SECONDS:
                share = YIELD_LONG if queue_s > QUEUE_LONG_SECONDS else YIELD
                self._rate = min(self._rate, share * received)
                self._judge_queue(queue_s)
            else:
                low = min(self._rate, LOSS_FLOOR_BITS_S)
                self._rate = max(min(self._rate * (1 - loss / 2), received), low)
            return
        if queue_s > QUEUE_LOW_SECONDS:
            return
        self._undrained = 0
        if self._too_much is not None and self._rate > NEAR[1] * self._too_much:
            self._too_much = None
        grow = GROW_LOSSY if loss > LOSS_NOTICED else GROW_FAST
        if self._too_much is not None and self._rate > NEAR[0] * self._too_much:
            grow = GROW_NEAR
        proven = max(START_BITS_S, UNPROVEN * received)
        self._rate = max(self._rate, min(self._rate * grow**step_s, proven))

    def _judge_queue(self, queue_s: float) -> None:
        """Count the steps down that did not drain the queue; take the delay for the line's own when they are enough."""
        self._undrained = self._undrained + 1 if queue_s > self._queue_at_lowering_s - DRAIN_SECONDS else 1
        self._queue_at_lowering_s = queue_s
        if self._undrained > YIELDS:
            self._undrained = 0
            self._queue_at_lowering_s = math.inf
            self._base.clear()

    def _received_bits_s(self, now_s: float) -> float:
        """Over the last second, or what there is of it since the first packet."""
        last = int(now_s / SLOT_SECONDS)
        slots = min(RATE_SLOTS, last - self._slots[0].number)
        size_bytes = sum(slot.size_bytes for slot in self._slots if last - slots <= slot.number < last)
        return size_bytes * 8 / (slots * SLOT_SECONDS) if slots > 0 else 0.0

    def _queue_s(self, now_s: float) -> float:
        """How much longer than over the empty line the fastest packets took; what is unknown counts as little."""
        since = int(now_s / SLOT_SECONDS) - DELAY_SLOTS
        lately = min((slot.delay_s for slot in self._slots if slot.number >= since), default=math.inf)
        base = min((delay_s for second, delay_s in self._base if second > now_s - BASE_SECONDS), default=math.inf)
        if math.isinf(lately):
            return QUEUE_HIGH_SECONDS  # nothing is lowered, nothing grows
        return lately - base if base < math.inf else 0.0

    def _loss(self, now_s: float) -> tuple[float, float]:
        """The lost share of the last two seconds, and how far chance may have moved it."""
        since = int(now_s / SLOT_SECONDS) - LOSS_SLOTS
        lost = max(0, sum(slot.lost for slot in self._slots if slot.number >= since))
        expected = lost + sum(slot.packets for slot in self._slots if slot.number >= since)
        if expected < LOSS_PACKETS_LEAST:
            return 0.0, 0.0
        return lost / expected, LOSS_DOUBT / math.sqrt(expected)

    def _resume(self) -> None:
        if self._slots:
            self._rate = max(self._rate / 2, min(self._rate, START_BITS_S))
        self._slots.clear()
        self._base.clear()
        self._stamp = None
        self._undrained = 0


Level = Literal["high", "low", "paused"]

LOSS_BAD = 25  # of 256; above it more than a tenth is lost
LOSS_GOOD = 5  # of 256; up to it less than two hundredths
BAD_SECONDS = 5.0  # of bad reports take one layer away
GOOD_SECONDS = 10.0  # without a poor report give one back, on trial
WAIT_SECONDS_MOST = 120.0  # for a trial after others failed
TRIAL_SECONDS = 20.0  # a layer lost sooner was a failed trial; kept so long, it is the viewer's
BOUND_MARGIN = 1.1  # a REMB below so many times a layer's rate leaves the line no room for it
BOUND_FALL = 0.9  # of the highest REMB of this layer: the receiver has seen a queue
BOUND_HOLD_SECONDS = 2.0  # after a change of layer a REMB still speaks of the one before
DELAY_BAD_SECONDS = 0.4  # of round trip above the least: a queue in front of the viewer, as bad as loss
DELAY_GOOD_SECONDS = 0.2
ROUND_TRIP_SECONDS = 30.0  # the least round trip is that of one to two such spans


class Downlink:
    """The layer of the picture for one viewer: high, low where there is one, or none.

    More than a tenth lost for 5 s takes one step down; 10 s with less than a fiftieth lost give one step back, as a
    trial. A trial that fails doubles the wait for the next. The layers' rates are bits a second as measured, and may
    be set anew.
    """

    def __init__(self, high_bits_s: int, low_bits_s: int | None) -> None:
        self.high_bits_s = high_bits_s
        self.low_bits_s = low_bits_s  # None: the publisher sends one layer, called high
        self._level: Level = "high"
        self._wait_s = GOOD_SECONDS
        self._trial_s: float | None = None  # when the present layer was given back
        self._bad_since_s: float | None = None
        self._good_since_s: float | None = None
        self._bound = self._bound_most = 0  # the last, and the highest of this layer
        self._changed_s = -math.inf
        self._round_trips = (math.inf, math.inf)  # the least of the span before and of this one
        self._span_s = -math.inf

    def note_report(self, now_s: float, fraction_lost: int, round_trip_s: float | None = None) -> None:
        """A reception report of the viewer: ``fraction_lost`` in 1/256; of the sound while there is no picture."""
        delay_s = self._delay_s(now_s, round_trip_s)
        if fraction_lost > LOSS_GOOD or delay_s > DELAY_GOOD_SECONDS:
            self._good_since_s = now_s
        if fraction_lost <= LOSS_BAD and delay_s <= DELAY_BAD_SECONDS:
            self._bad_since_s = None
        elif self._bad_since_s is None:
            self._bad_since_s = now_s
        elif now_s - self._bad_since_s >= BAD_SECONDS:
            self._down(now_s)

    def note_bound(self, now_s: float, bits_s: int) -> None:
        """A REMB of the viewer. Below 1.1 of the layer's rate it takes one step down at once, if it has fallen.

        A receiver's first word is what it receives just then, and from there it grows by 8 % a second (libwebrtc and
        aiortc). So a bound that is low and rising says nothing about the line; one that was above the bar, or has
        lost a tenth, does.
        """
        rate = {"high": self.high_bits_s, "low": self.low_bits_s or 0, "paused": 0}[self._level]
        bar = BOUND_MARGIN * rate
        self._bound = bits_s
        fallen = self._bound_most >= bar or bits_s < BOUND_FALL * self._bound_most
        if bits_s < bar and fallen and now_s - self._changed_s >= BOUND_HOLD_SECONDS:
            self._down(now_s)
        else:
            self._bound_most = max(self._bound_most, bits_s)

    def level(self, now_s: float) -> Level:
        """What the viewer is to get now; ask at least once a second."""
        if self._good_since_s is None:
            self._good_since_s = now_s
        if self._trial_s is not None and now_s - self._trial_s >= TRIAL_SECONDS:
            self._trial_s = None
            self._wait_s = GOOD_SECONDS
        if self._level != "high" and now_s - self._good_since_s >= self._wait_s:
            self._change("low" if self._level == "paused" and self.low_bits_s is not None else "high", now_s)
            self._trial_s = now_s
        return self._level

    def _down(self, now_s: float) -> None:
        if self._level == "paused":
            return
        if self._trial_s is not None and now_s - self._trial_s < TRIAL_SECONDS:
            self._wait_s = min(2 * self._wait_s, WAIT_SECONDS_MOST)
        self._change("low" if self._level == "high" and self.low_bits_s is not None else "paused", now_s)
        self._trial_s = None

    def _change(self, level: Level, now_s: float) -> None:
        self._level = level
        self._changed_s = self._good_since_s = now_s
        self._bad_since_s = None
        self._bound_most = self._bound

    def _delay_s(self, now_s: float, round_trip_s: float | None) -> float:
        """How much longer than the least this round trip is. A longer way is the usual one after a minute."""
        if round_trip_s is None:
            return 0.0
        before, least = self._round_trips
        if now_s - self._span_s >= ROUND_TRIP_SECONDS:
            before, least, self._span_s = least, math.inf, now_s
        self._round_trips = before, min(least, round_trip_s)
        return round_trip_s - min(self._round_trips)
