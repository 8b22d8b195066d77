"""The generated exam picture: skin close up that drifts slowly, a scale bar, and the words that say what it is.

640 × 360, planes of YUV 4:2:0 in studio range (16–235). It shows no patient and cannot be taken for the face camera's.
The texture is drawn once, larger than the frame and without a seam; a frame is a window that wanders over it.
"""

from __future__ import annotations

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from telemed_station.camera.lettering import text_mask
from telemed_station.camera.picture import HEIGHT, WIDTH, Plane, frame_of

WORDS = ("EXAM CAMERA / КАМЕРА ЗА ПРЕГЛЕД", "GENERATED PICTURE")
LOOP_US = 40_000_000  # the window is back where it was
TEXTURE_PX = 768  # a side; a power of two times three, for the Fourier transform that makes it seamless
BAR_AT, BAR_PX = (40, 300), 200  # x, y of the scale bar's left end, and its length: 10 mm drawn as 20 px each
BAR_STEP_PX = 20
_WORDS_AT, _NOTE_AT, _LENGTH_AT = (24, 20), (24, 50), (252, 291)
_BRIGHT, _DARK = 226, 30


class ExamPicture:
    """Draws frames; the same stamp gives the same picture. There is no lamp in it: ``lit`` changes nothing."""

    def __init__(self) -> None:
        self._luma, self._blue, self._red = _skin()
        self._marks = _marks()
        self._shade = _shade(self._marks)

    def draw(self, stamp_us: int, *, lit: bool) -> VideoFrame:
        """The picture at ``stamp_us``."""
        turn = 2 * np.pi * (stamp_us % LOOP_US) / LOOP_US
        room_x, room_y = TEXTURE_PX - WIDTH, TEXTURE_PX - HEIGHT
        x = 2 * round(room_x / 4 * (1 + np.cos(turn)))
        y = 2 * round(room_y / 4 * (1 + np.sin(turn)))
        luma = self._luma[y : y + HEIGHT, x : x + WIDTH].copy()
        luma[self._shade] = _DARK
        luma[self._marks] = _BRIGHT
        colour = slice(y // 2, (y + HEIGHT) // 2), slice(x // 2, (x + WIDTH) // 2)
        return frame_of(luma, self._blue[colour], self._red[colour])


def _skin() -> tuple[Plane, Plane, Plane]:
    """Fine creases over broad blotches and a few moles; the same every time."""
    chance = np.random.default_rng(3)
    along = np.fft.fftfreq(TEXTURE_PX) * TEXTURE_PX
    distance = np.hypot(along[:, None], along[None, :])

    def cloud(low: float, high: float) -> NDArray[np.float64]:
        band = np.exp(-((distance / high) ** 2)) - np.exp(-((distance / low) ** 2))
        values = np.fft.ifft2(np.fft.fft2(chance.standard_normal((TEXTURE_PX, TEXTURE_PX))) * band).real
        return np.asarray(values / values.std(), dtype=np.float64)

    blotches, creases = cloud(1, 10), np.abs(cloud(20, 60))
    luma = 150 + 7 * blotches - 14 * np.exp(-((creases / 0.25) ** 2))
    red = 152 + blotches
    y, x = np.mgrid[0:TEXTURE_PX, 0:TEXTURE_PX]
    for centre_x, centre_y, radius in ((330, 250, 16), (520, 320, 9), (250, 480, 12), (640, 600, 20)):
        mole = np.exp(-((((x - centre_x) ** 2 + (y - centre_y) ** 2) / radius**2) ** 2))
        luma -= 62 * mole
        red += 4 * mole
    blue = np.full((TEXTURE_PX, TEXTURE_PX), 112.0)
    planes = (luma, blue[::2, ::2], red[::2, ::2])
    luma_, blue_, red_ = (np.clip(np.rint(plane), 16, 235).astype(np.uint8) for plane in planes)
    return luma_, blue_, red_


def _marks() -> NDArray[np.bool_]:
    """The words and the scale bar, as a mask of the whole frame."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for text, scale, (left, top) in ((WORDS[0], 3, _WORDS_AT), (WORDS[1], 2, _NOTE_AT), ("10 MM", 2, _LENGTH_AT)):
        dots = text_mask(text, scale)
        mask[top : top + dots.shape[0], left : left + dots.shape[1]] |= dots
    left, top = BAR_AT
    mask[top : top + 3, left : left + BAR_PX + 1] = True
    for step in range(0, BAR_PX + 1, BAR_STEP_PX):
        height = 12 if step % (5 * BAR_STEP_PX) == 0 else 7
        mask[top - height : top, left + step : left + step + 2] = True
    return mask


def _shade(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A dark edge of two pixels around the marks, so that they are read on any skin."""
    shade = marks.copy()
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            shade |= np.roll(marks, step, axis)
    grown = shade.copy()
    for step in (-1, 1):
        grown |= np.roll(shade, step, 0)
    return grown
