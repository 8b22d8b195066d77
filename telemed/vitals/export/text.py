"""Text for formats that know ASCII alone."""

from __future__ import annotations

import unicodedata
from typing import Final

# Bulgarian letters as the country's law on transliteration writes them.
LETTERS: Final = dict(zip(
    "абвгдежзийклмнопрстуфхцчшщъьюя",
    ("a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f", "h",
     "ts", "ch", "sh", "sht", "a", "y", "yu", "ya"), strict=True,
))


def ascii_of(text: str, most: int) -> str:
    """The text in printable ASCII: Bulgarian transliterated, accents left out, all else as ``?``; cut to ``most``."""
    made = []
    for letter in text:
        latin = LETTERS.get(letter.lower())
        if latin is not None:
            made.append(latin.capitalize() if letter.isupper() else latin)
        else:
            plain = unicodedata.normalize("NFKD", letter.replace("µ", "u").replace("μ", "u"))
            made.append("".join(one for one in plain if not unicodedata.combining(one)))
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in "".join(made))[:most]
