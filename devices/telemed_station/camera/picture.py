"""The generated picture: a bed, somebody breathing in it, a clock, and a lamp that lights at each R peak.

640 × 360, planes of YUV 4:2:0 in studio range (16–235). What does not move is drawn once; a frame copies it and draws
clock, blanket and lamp.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from telemed_station.camera.lettering import text_mask

WIDTH, HEIGHT = 640, 360
LAMP_US = 120_000  # the lamp stays lit this long after an R peak
BREATH_US = 4_000_000  # as the simulated respiration: 15 a minute
BREATH_STEPS = 24  # drawn positions of the blanket between out and in
BREATH_PX = 7

Plane = NDArray[np.uint8]

LAMP_CENTRE, LAMP_RADIUS = (566, 78), 34  # x, y; a square of 68 px around it is the lamp's
_CLOCK_AT, _CLOCK_SCALE = (24, 22), 5
_LABEL_AT, _LABEL_SCALE = (24, 326), 2


class Picture:
    """Draws frames; the same stamp and lamp give the same picture."""

    def __init__(self) -> None:
        self._scenes = [_scene(step / (BREATH_STEPS - 1)) for step in range(BREATH_STEPS)]
        self._digits = {letter: text_mask(letter, _CLOCK_SCALE) for letter in "0123456789:. "}
        y, x = np.mgrid[-LAMP_RADIUS:LAMP_RADIUS, -LAMP_RADIUS:LAMP_RADIUS]
        self._lamp = (x * x + y * y) < LAMP_RADIUS**2

    def draw(self, stamp_us: int, *, lit: bool) -> VideoFrame:
        """The picture at ``stamp_us``; the clock shows it in UTC to a tenth of a second."""
        phase = stamp_us % BREATH_US / BREATH_US
        depth = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
        luma, blue, red = (plane.copy() for plane in self._scenes[round(depth * (BREATH_STEPS - 1))])
        at = datetime.fromtimestamp(stamp_us // 1_000_000, UTC)
        self._write(luma, f"{at:%H:%M:%S}.{stamp_us // 100_000 % 10}")
        if lit:
            x, y = LAMP_CENTRE
            luma[y - LAMP_RADIUS : y + LAMP_RADIUS, x - LAMP_RADIUS : x + LAMP_RADIUS][self._lamp] = 235
            half = LAMP_RADIUS // 2
            round_ = self._lamp[::2, ::2]
            window = (slice(y // 2 - half, y // 2 + half), slice(x // 2 - half, x // 2 + half))
            blue[window][round_] = 112
            red[window][round_] = 138
        return frame_of(luma, blue, red)

    def _write(self, luma: Plane, text: str) -> None:
        x, y = _CLOCK_AT
        for letter in text:
            dots = self._digits[letter]
            luma[y : y + dots.shape[0], x : x + dots.shape[1]][dots] = 226
            x += dots.shape[1]


def frame_of(luma: Plane, blue: Plane, red: Plane) -> VideoFrame:
    """A frame with these planes. av pads each line, so lines are copied into its own buffers."""
    frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
    for plane, values in zip(frame.planes, (luma, blue, red), strict=True):
        if plane.line_size == values.shape[1]:
            plane.update(values.tobytes())
        else:
            padded = np.zeros((values.shape[0], plane.line_size), dtype=np.uint8)
            padded[:, : values.shape[1]] = values
            plane.update(padded.tobytes())
    return frame


def _scene(depth: float) -> tuple[Plane, Plane, Plane]:
    """Everything but clock and lamp; ``depth`` of breath 0–1 lifts the blanket."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    luma = 62.0 + 16.0 * (y / HEIGHT)
    blue = np.full((HEIGHT, WIDTH), 134.0)
    red = np.full((HEIGHT, WIDTH), 122.0)

    def fill(mask: NDArray[np.bool_], colour: tuple[float, float, float]) -> None:
        luma[mask], blue[mask], red[mask] = colour

    fill(y > 268, (84, 124, 130))  # floor
    fill((y > 296) & (y < 302) & (x > 60) & (x < 560), (52, 128, 128))  # the bed's shadow
    fill((x > 74) & (x < 86) & (y > 170) & (y < 300), (116, 130, 126))  # head end
    fill((x > 548) & (x < 558) & (y > 205) & (y < 300), (116, 130, 126))  # foot end
    fill((x > 80) & (x < 552) & (y > 246) & (y < 276), (190, 127, 128))  # mattress
    fill(((x - 150) / 62) ** 2 + ((y - 238) / 20) ** 2 < 1, (214, 127, 128))  # pillow
    fill(((x - 160) / 27) ** 2 + ((y - 212) / 30) ** 2 < 1, (150, 112, 152))  # head
    fill(((x - 156) / 29) ** 2 + ((y - 194) / 16) ** 2 < 1, (58, 126, 132))  # hair
    lift = BREATH_PX * depth
    chest = 226 - 22 * np.exp(-(((x - 262) / 62) ** 2)) - lift * np.exp(-(((x - 272) / 58) ** 2))
    legs = 12 * np.exp(-(((x - 440) / 90) ** 2))
    blanket = (x > 196) & (x < 540) & (y > chest - legs) & (y < 262)
    fill(blanket, (128, 146, 112))
    fill(blanket & (y < chest - legs + 4), (152, 144, 114))  # its edge
    lamp_x, lamp_y = LAMP_CENTRE
    fill((x - lamp_x) ** 2 + (y - lamp_y) ** 2 < (LAMP_RADIUS + 6) ** 2, (40, 128, 128))  # the lamp's ring
    fill((x - lamp_x) ** 2 + (y - lamp_y) ** 2 < LAMP_RADIUS**2, (28, 128, 128))  # dark
    label = text_mask("GENERATED PICTURE", _LABEL_SCALE)
    left, top = _LABEL_AT
    luma[top : top + label.shape[0], left : left + label.shape[1]][label] = 176
    return (
        np.rint(luma).astype(np.uint8),
        np.rint(blue[::2, ::2]).astype(np.uint8),
        np.rint(red[::2, ::2]).astype(np.uint8),
    )
