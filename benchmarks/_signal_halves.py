"""The two halves of the records: constants are tuned on one and reported on the other, and swapped. Never moved.

Subjects in the order of their numbers, alternately; one subject is never in both (MIT-BIH 201 and 202 are one person,
so are BIDMC 20 to 23, and 38 and 39).
"""

from __future__ import annotations

from typing import Final

MIT_A: Final = (
    "100", "103", "106", "109", "113", "117", "121", "124", "201", "202", "207", "210", "214", "219", "221", "230",
    "233",
)  # fmt: skip
MIT_B: Final = (
    "102", "104", "108", "111", "115", "118", "123", "200", "205", "208", "212", "215", "220", "223", "232",
)  # fmt: skip
MIT: Final = tuple(sorted(MIT_A + MIT_B))

BIDMC_A: Final = (
    "01", "04", "10", "13", "16", "19", "25", "28", "31", "34", "37", "41", "44", "47", "50", "53",
)  # fmt: skip
BIDMC_B: Final = (
    "02", "05", "11", "14", "17", "20", "21", "22", "23", "26", "29", "32", "35", "38", "39", "42", "45", "48", "51",
)  # fmt: skip
BIDMC: Final = tuple(sorted(BIDMC_A + BIDMC_B))
