"""Who is heard and seen in a room of many, with a clock of our own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from telemed.media.relay.speakers import CONFIRM_SECONDS, MEMORY_SECONDS, PICTURES, VOICES, Speakers, seated

NAMES = tuple("abcdefghij")
LOUD, SILENT = 20, 127  # dBov below full scale
PACKET_SECONDS = 0.02


class Talk:
    """A room in which some speak: each packet of 20 ms of each, the order asked ten times a second."""

    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        self.speakers, self.names, self.now_s = Speakers(), names, 0.0
        for name in names:
            self.speakers.enter(name)

    def speak(self, loud: str, seconds: float) -> tuple[str, ...]:
        order: tuple[str, ...] = ()
        for number in range(round(seconds / PACKET_SECONDS)):
            self.now_s += PACKET_SECONDS
            for name in self.names:
                self.speakers.note(name, LOUD if name in loud else SILENT, self.now_s)
            if number % 5 == 0:
                order = self.speakers.order(self.now_s)
        return order


def test_those_who_speak_are_heard_and_keep_their_places() -> None:
    talk = Talk()
    assert set(talk.speak("h", 2.0)[:VOICES]) > {"h"}
    before = talk.speak("hij", 4.0)
    assert set(before[:VOICES]) == {"h", "i", "j"}
    assert talk.speak("hij", 10.0) == before
    assert talk.speak("", 10.0) == before, "who spoke last stays until somebody else speaks"


def test_a_cough_moves_nobody() -> None:
    talk = Talk()
    before = talk.speak("abc", 5.0)[:VOICES]
    talk.speak("abcj", CONFIRM_SECONDS / 2)
    assert talk.speak("abc", 5.0)[:VOICES] == before
    assert talk.speak("j", MEMORY_SECONDS / 4)[:VOICES] == before


def test_whoever_is_displaced_is_the_first_to_be_seen() -> None:
    talk = Talk()
    talk.speak("abc", 5.0)
    order = talk.speak("abj", 5.0)
    assert set(order[:VOICES]) == {"a", "b", "j"}
    assert order[VOICES] == "c"


def test_whoever_speaks_hears_three_others() -> None:
    order = Talk().speak("fghj", 5.0)
    assert set(order[: VOICES + 1]) == set("fghj")


def test_who_leaves_is_gone_and_who_comes_is_last() -> None:
    talk = Talk()
    talk.speakers.leave("a")
    talk.speakers.leave("a")
    talk.speakers.enter("z")
    talk.speakers.note("a", LOUD, 1.0)
    assert talk.speakers.order(1.0) == (*NAMES[1:], "z")


@given(st.lists(st.lists(st.sampled_from(NAMES), unique=True, max_size=10), max_size=12))
def test_nobody_sits_twice_and_whoever_stays_keeps_the_seat(orders: list[list[str]]) -> None:
    seats: dict[int, str] = {}
    for order in orders:
        before, seats = seats, seated(seats, tuple(order))
        assert sorted(seats.values()) == sorted(order[:PICTURES])
        heard = {name for number, name in seats.items() if number < VOICES}
        assert heard == set(order[:VOICES])
        for number, name in before.items():
            group = order[:VOICES] if number < VOICES else order[VOICES:PICTURES]
            assert (seats.get(number) == name) == (name in group)
