"""Peers come and go by the hundred, each in its own way, and leave nothing in the relay. The long forms are measured:

    TELEMED_SOAK=1000 TELEMED_SOAK_MINUTES=30 pytest -s tests/media/test_media_soak.py
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from telemed.media.backend import ResourceNotFound
from telemed.media.client import RelayClient
from telemed.media.relay import relay as relay_module
from telemed.media.relay.leg import Leg
from telemed.media.relay.relay import Relay
from telemed.media.relay.viewer import Viewer
from tests.media.callers import Caller, Calls, calls_on, descriptors, process_calls, resident_bytes
from tests.media.test_media_strangers import captured, junk_hellos, noise, random_datagrams

JOINS = int(os.environ.get("TELEMED_SOAK", "100"))
WARM_JOINS = max(20, JOINS // 5)
GROWTH = 0.10  # of the relay's memory after the warm-up
# What a hundred joins cannot show: the process is warm after some hundred, and pages come by the megabyte.
LONG_JOINS = 500
SHORT_GROWTH_BYTES = 12 << 20
MINUTES = float(os.environ.get("TELEMED_SOAK_MINUTES", "0"))
GONE_SECONDS = 80.0  # for who vanished: a viewer is let go after 15, who never connected after 20, a publisher after 40
FRAME_SECONDS = 0.05
STALL_SECONDS = 0.1
LOOK_SECONDS = 1.0
ASK_SECONDS = 0.05  # between questions that a loop which does not stall answers at once
WAYS = ("goodbye", "delete", "vanish", "never")
# Who says nothing is held for 20 seconds: one of five in the long form; none in the short one, as the next test has it.
JOIN_WAYS = 4 * WAYS[:2] + WAYS[2:] if JOINS >= LONG_JOINS else WAYS[:2]


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    """Callers on a relay process."""
    async with process_calls() as made:
        yield made


async def sending(publisher: Caller) -> None:
    """Packets, for as long as nobody cancels."""
    number = 0
    while True:
        publisher.picture(number)
        number += 1
        await asyncio.sleep(FRAME_SECONDS)


async def comes_and_goes(calls: Calls, publisher: Caller, way: str) -> Caller:
    """One viewer, until it has seen a packet and is gone in this way."""
    one = Caller()
    if way == "never":  # it has an answer and is not heard of again
        await calls.engine.open(one.name, "play", publisher.name, one.terms())
        one.vanish()
        return one
    one = await calls.viewer(publisher, caller=one)
    calls.callers.remove(one)
    async with asyncio.timeout(GONE_SECONDS):
        while not one.received:  # noqa: ASYNC110  (packets have no waiting side)
            await asyncio.sleep(0.005)
    assert one.foreign == 0
    if way == "delete":
        await calls.engine.close(one.name)
    if way != "vanish":
        await one.leave()
    one.vanish()
    return one


async def left(calls: Calls, one: Caller) -> bool:
    """Whether the relay has forgotten the caller's leg."""
    try:
        await calls.engine.restart(one.name, "ufrag", "p" * 22)
    except ResourceNotFound:
        return True
    return False


async def nobody_left(calls: Calls, gone: list[Caller]) -> None:
    """Wait until the relay knows none of these."""
    async with asyncio.timeout(GONE_SECONDS):
        while gone:
            gone = [one for one in gone if not await left(calls, one)]
            await asyncio.sleep(0.2)


async def test_hundreds_come_and_go_and_leave_nothing_in_the_relay_process(calls: Calls) -> None:
    client = calls.engine
    assert isinstance(client, RelayClient)
    pid = client.pid
    assert pid is not None
    publisher = await calls.publisher()
    before_files = descriptors(pid)
    feeding = asyncio.ensure_future(sending(publisher))
    gone = [await comes_and_goes(calls, publisher, JOIN_WAYS[at % len(JOIN_WAYS)]) for at in range(WARM_JOINS)]
    await nobody_left(calls, gone)
    warm_bytes, began = resident_bytes(pid), time.monotonic()
    gone = [await comes_and_goes(calls, publisher, JOIN_WAYS[at % len(JOIN_WAYS)]) for at in range(JOINS)]
    took_s = time.monotonic() - began
    await nobody_left(calls, gone)
    grown = resident_bytes(pid) - warm_bytes
    feeding.cancel()
    print(
        f"\n{JOINS} joins and leaves in {took_s:.0f} s: memory {warm_bytes / 2**20:.1f} MiB {grown / 2**20:+.1f} MiB "
        f"({grown / warm_bytes:+.1%}), descriptors {before_files} -> {descriptors(pid)}"
    )
    assert descriptors(pid) == before_files
    assert grown < (GROWTH * warm_bytes if JOINS >= LONG_JOINS else SHORT_GROWTH_BYTES)
    assert client.pid == pid  # the same process: nothing died meanwhile
    assert [event for event in calls.events if event["event"] == "down"] == []


async def test_publishers_and_viewers_that_come_and_go_leave_no_object_behind(
    wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, where each leg can be counted, and each name in a table."""
    for bound in ("VIEWER_SILENT_SECONDS", "CONNECT_SECONDS", "KEPT_SECONDS"):
        monkeypatch.setattr(relay_module, bound, 3.0)
    monkeypatch.setattr(relay_module, "SILENT_SECONDS", 1.0)
    async with calls_on(Relay(("127.0.0.1",))) as calls:
        relay = calls.engine
        assert isinstance(relay, Relay)
        for turn in range(8):
            publisher = await calls.publisher()
            feeding = asyncio.ensure_future(sending(publisher))
            for way in WAYS:
                await comes_and_goes(calls, publisher, way)
            feeding.cancel()
            if turn % 2:
                await relay.close(publisher.name)
            publisher.vanish()
            calls.callers.remove(publisher)
        await wait(lambda: not relay.legs and not relay.publishers, "every leg is gone, and what it published")
        port = relay._port
        assert (relay.viewers, relay.publishers, relay.forwarders) == ({}, {}, {})
        assert (relay._live | relay._silent, relay._touched, port.legs) == (set(), {}, {})
        assert [line.known for line in port.lines] == [{}]
        await wait(lambda: len(relay._tasks) == 1, "only the tick goes on")
        del publisher
        calls.callers.clear()
        gc.collect()
        kept = [one for one in gc.get_objects() if isinstance(one, Leg | Viewer)]
        assert len(kept) <= 2  # of forty: whom the relay's tick looked at last, and what that plays


@pytest.mark.skipif(not MINUTES, reason="TELEMED_SOAK_MINUTES says how long; make faults has 30")
async def test_a_long_soak_with_strangers_is_flat(calls: Calls) -> None:
    """Publishers and viewers come and go under noise of every kind: memory has no slope and the loop no stall."""
    client = calls.engine
    assert isinstance(client, RelayClient)
    pid = client.pid
    assert pid is not None
    loop, numbers, happened = asyncio.get_running_loop(), random.Random(31), Counter[str]()
    end = loop.time() + 60 * MINUTES
    memory: list[tuple[float, int]] = []
    stalls_s: list[float] = []
    own_stalls_s: list[float] = []
    watched = await calls.publisher()
    feeding = asyncio.ensure_future(sending(watched))
    steady = await calls.viewer(watched)
    before_files = descriptors(pid)
    gone: list[Caller] = []

    async def look() -> None:
        while True:
            memory.append((loop.time(), resident_bytes(pid)))
            await asyncio.sleep(LOOK_SECONDS)

    async def ask() -> None:
        """A question that is refused at once; when we were late ourselves, what it took says nothing of the relay."""
        while True:
            asked = loop.time()
            await asyncio.sleep(ASK_SECONDS)
            late_s = loop.time() - asked - ASK_SECONDS
            if late_s > STALL_SECONDS / 2:
                own_stalls_s.append(late_s)
                continue
            asked = loop.time()
            with pytest.raises(ResourceNotFound):
                await client.restart("nobody", "ufrag", "p" * 22)
            took_s = loop.time() - asked
            if took_s > STALL_SECONDS:
                stalls_s.append(took_s)

    async def come_and_go() -> None:
        while loop.time() < end:
            publisher = await calls.publisher()
            pictures = asyncio.ensure_future(sending(publisher))
            for _ in range(numbers.randrange(1, 6)):
                way = numbers.choice(WAYS)
                gone.append(await comes_and_goes(calls, numbers.choice((publisher, watched)), way))
                happened[way] += 1
            pictures.cancel()
            calls.callers.remove(publisher)
            if numbers.random() < 0.5:
                await publisher.leave()
            publisher.vanish()
            gone.append(publisher)
            happened["publishers"] += 1
            del gone[:-200]
            del calls.events[:-2000]
            await asyncio.sleep(0.5)

    watching = [asyncio.ensure_future(look()), asyncio.ensure_future(ask())]
    publisher_noise = captured(watched, numbers)
    async with noise(watched.address, junk_hellos(numbers), random_datagrams(numbers), publisher_noise) as made:
        while len(watched.sent) < 2:  # noqa: ASYNC110
            await asyncio.sleep(FRAME_SECONDS)
        busy = [asyncio.ensure_future(come_and_go()) for _ in range(2)]
        counted = 0
        while not all(task.done() for task in busy):
            await asyncio.sleep(LOOK_SECONDS)
            counted += len(steady.received)
            steady.received.clear()
            steady.controls.clear()
            steady.answers.clear()
        for task in (*busy, *(task for task in watching if task.done())):
            await task
        foreign = made.count
    await nobody_left(calls, list(gone))
    for task in (*watching, feeding):
        task.cancel()
    times, sizes = np.array(memory).T
    settled = len(times) // 5  # warm-up
    slope = float(np.polyfit(times[settled:] / 3600, sizes[settled:] / 2**20, 1)[0])
    growth = float(np.median(sizes[-settled:]) / np.median(sizes[settled : 2 * settled]) - 1)
    print(
        f"\n{MINUTES:g} minutes: {dict(happened)}, {foreign} foreign datagrams, {counted} packets to who stayed"
        f"\nmemory {sizes[settled] / 2**20:.1f} -> {sizes[-1] / 2**20:.1f} MiB, slope {slope:+.2f} MiB/h, growth "
        f"{growth:+.1%}; descriptors {before_files} -> {descriptors(pid)}"
        f"\nanswers later than {STALL_SECONDS * 1000:.0f} ms: {len(stalls_s)}, worst "
        f"{max(stalls_s, default=0) * 1000:.0f} ms; this test's own loop was late {len(own_stalls_s)} times"
    )
    assert client.pid == pid
    assert not calls.told("gone", steady)
    assert steady.foreign == 0
    assert growth < GROWTH
