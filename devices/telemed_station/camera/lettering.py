"""Words in a generated picture: 5 × 7 dots a letter, Latin and Cyrillic capitals and digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A row a number, most significant bit on the left.
_GLYPHS = {
    "0": (14, 17, 19, 21, 25, 17, 14), "1": (4, 12, 4, 4, 4, 4, 14), "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14), "4": (2, 6, 10, 18, 31, 2, 2), "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14), "7": (31, 1, 2, 4, 8, 8, 8), "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12), ":": (0, 12, 12, 0, 12, 12, 0), ".": (0, 0, 0, 0, 0, 12, 12),
    "/": (1, 1, 2, 4, 8, 16, 16), " ": (0, 0, 0, 0, 0, 0, 0), "A": (14, 17, 17, 17, 31, 17, 17),
    "C": (14, 17, 16, 16, 16, 17, 14), "D": (28, 18, 17, 17, 17, 18, 28), "E": (31, 16, 16, 30, 16, 16, 31),
    "G": (14, 17, 16, 23, 17, 17, 15), "I": (14, 4, 4, 4, 4, 4, 14), "M": (17, 27, 21, 21, 17, 17, 17),
    "N": (17, 17, 25, 21, 19, 17, 17), "P": (30, 17, 17, 30, 16, 16, 16), "R": (30, 17, 17, 30, 20, 18, 17),
    "T": (31, 4, 4, 4, 4, 4, 4), "U": (17, 17, 17, 17, 17, 17, 14), "X": (17, 17, 10, 4, 10, 17, 17),
    "А": (14, 17, 17, 17, 31, 17, 17), "Г": (31, 16, 16, 16, 16, 16, 16), "Д": (6, 10, 10, 10, 10, 31, 17),
    "Е": (31, 16, 16, 30, 16, 16, 31), "З": (14, 17, 1, 6, 1, 17, 14), "К": (17, 18, 20, 24, 20, 18, 17),
    "Л": (7, 9, 9, 9, 9, 9, 17), "М": (17, 27, 21, 21, 17, 17, 17), "П": (31, 17, 17, 17, 17, 17, 17),
    "Р": (30, 17, 17, 30, 16, 16, 16),
}  # fmt: skip


def text_mask(text: str, scale: int) -> NDArray[np.bool_]:
    """The dots of a text, shape (7 × scale, 6 × scale × characters)."""
    rows = np.zeros((7, 6 * len(text)), dtype=bool)
    for place, letter in enumerate(text):
        for row, bits in enumerate(_GLYPHS[letter]):
            rows[row, 6 * place : 6 * place + 5] = [bits >> shift & 1 for shift in (4, 3, 2, 1, 0)]
    return np.kron(rows, np.ones((scale, scale), dtype=bool)).astype(bool)
