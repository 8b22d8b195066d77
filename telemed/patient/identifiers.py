"""Whether a number is written as its register writes such numbers. Pure: no register is asked.

A number that passes is *well-formed*, never *verified*: nothing here knows whether anybody has it.

=========  ==========================================================================================================
``egn``    ЕГН, Bulgaria: 10 digits, date of birth and check digit (python-stdnum ``bg.egn``)
``lnch``   ЛНЧ, foreigners in Bulgaria: 10 digits, check digit (python-stdnum ``bg.pnf``)
``embg``   ЕМБГ, North Macedonia: 13 digits DDMMYYYRRBBBK, date of birth and check digit
``ehic``   number of a European Health Insurance Card (its field 8): 20 digits that begin with 80
=========  ==========================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType

from stdnum.bg import egn, pnf

_SPACING = re.compile(r"[\s.\-\u2010-\u2015]+")  # how people group digits
# The scheme of the former Yugoslavia's numbers, also python-stdnum's ``si.emso``; there a remainder that gives 10 is
# written as 0, here such a number is not issued.
_EMBG_WEIGHTS = (7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
_EMBG_CENTURY_TURN = 800  # YYY from 800 is 1800–1999, below is 2000–2799
# Decision 190 (2003/752/EC), field 8: 20 digits by EN 1867, of which the first two, 80, say that a card is of health
# care. What follows (country, institution, person) has no check that every issuer keeps, so none is made.
_EHIC = re.compile(r"80[0-9]{18}")


def check(system: str, value: str) -> bool | None:
    """Whether the number is well-formed in this system; None when the system has no check here."""
    well_formed = _CHECKS.get(system)
    return None if well_formed is None else well_formed(normal(system, value))


def normal(system: str, value: str) -> str:
    """The number without the spacing it may be written with; a number of an unknown system stays as it is."""
    return _SPACING.sub("", value) if system in _CHECKS else value


def _embg(number: str) -> bool:
    if not re.fullmatch(r"[0-9]{13}", number):
        return False
    day, month, year = int(number[:2]), int(number[2:4]), int(number[4:7])
    try:
        date(year + (1000 if year >= _EMBG_CENTURY_TURN else 2000), month, day)
    except ValueError:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_EMBG_WEIGHTS, number, strict=False))
    digit = 11 - total % 11
    return digit != 10 and digit % 11 == int(number[12])


def _ehic(number: str) -> bool:
    return _EHIC.fullmatch(number) is not None


_CHECKS: Mapping[str, Callable[[str], bool]] = MappingProxyType({
    "egn": egn.is_valid, "lnch": pnf.is_valid, "embg": _embg, "ehic": _ehic,
})
