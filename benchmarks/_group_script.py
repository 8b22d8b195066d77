"""Who speaks when in the group room, and how loud; what a small camera sends. The same every time."""

from __future__ import annotations

import random
from dataclasses import dataclass

import av
from telemed_station.camera.exam_picture import LOOP_US, ExamPicture

PEOPLE = 25
TURN_SECONDS = (3.0, 8.0)  # one speaks this long
# Up to four speak at a time: each of these speaks a turn, rests so long, and goes on as another person.
REST_SECONDS = ((0.0, 0.3), (0.5, 5.0), (3.0, 12.0), (8.0, 25.0))
SILENT_SECONDS = 2.0  # whoever has spoken is quiet this long at least
WORD, PAUSE = 45, 15  # packets of 20 ms: a few words, and the breath after them
QUIET_DBOV = 80  # of a room in which nobody speaks: RFC 6464 section 3, decibels below overload
WORD_DBOV, SYLLABLE_DBOV = 25, 20  # of the loudest part of a word, and how far its syllables fall
SYLLABLE = 12  # packets: four syllables a second

WIDTH, HEIGHT = 320, 180
FRAMES_A_SECOND, VIDEO_BITS_A_SECOND = 15, 150_000
MATERIAL_SECONDS = 10  # encoded once


@dataclass(frozen=True)
class Turn:
    """One person speaks from ``begin_s`` to ``end_s``; ``others`` were speaking when it began."""

    person: int
    begin_s: float
    end_s: float
    others: int


def turns(seconds: float) -> list[Turn]:
    """All turns that begin in so many seconds, in order."""
    chance = random.Random(25)
    places = [[chance.uniform(*rest), -1] for rest in REST_SECONDS]  # when the next turn begins, who had the last
    found: list[Turn] = []
    while True:
        place = min(range(len(places)), key=lambda one: places[one][0])
        begin_s = places[place][0]
        if begin_s >= seconds:
            return found
        lately = {turn.person for turn in found if turn.end_s > begin_s - SILENT_SECONDS}
        person = chance.choice([one for one in range(PEOPLE) if one not in lately])
        end_s = begin_s + chance.uniform(*TURN_SECONDS)
        found.append(Turn(person, begin_s, end_s, sum(turn.end_s > begin_s for turn in found)))
        places[place][0] = end_s + chance.uniform(*REST_SECONDS[place])


def level_dbov(packet: int) -> int:
    """How loud this packet of a turn is, the first one being number 0."""
    at = packet % (WORD + PAUSE)
    if at >= WORD:
        return QUIET_DBOV
    return WORD_DBOV + SYLLABLE_DBOV * (at % SYLLABLE) // SYLLABLE


def pictures() -> list[bytes]:
    """Frames of VP8: a whole one, then some that follow one."""
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    count = FRAMES_A_SECOND * MATERIAL_SECONDS
    encoder.bit_rate, encoder.gop_size, encoder.framerate = VIDEO_BITS_A_SECOND, count, FRAMES_A_SECOND
    rate = str(VIDEO_BITS_A_SECOND)
    encoder.options = {
        "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "minrate": rate, "maxrate": rate,
        "bufsize": str(VIDEO_BITS_A_SECOND), "error-resilient": "1",
    }
    drawn, frames = ExamPicture(), []
    for number in range(2 * count):
        whole = drawn.draw(number * LOOP_US // (4 * FRAMES_A_SECOND), lit=False)  # round in four seconds
        frame = whole.reformat(width=WIDTH, height=HEIGHT)
        frame.pts = number
        frames += [bytes(packet) for packet in encoder.encode(frame)]
    return frames[count:]  # from the second key frame on, when the rate control has settled
