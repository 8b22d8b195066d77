"""Firefox as it is, no setting changed for us: publishes two layers into a relay on its own machine, and plays."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from telemed.consultation.rooms import Rooms
from telemed.media.backend import Publisher
from telemed.media.plane import MediaPlane
from telemed.media.relay.relay import Relay
from tests.browser.visits.conftest import run_firefox
from tests.media.pages import ACCEPT, PLAY, PUBLISH

ROOM = "6b1f5a52-6f0e-4a38-9d57-6f7f0c9a0001"
HERE = Publisher("account:1", "clinician")

STATE = """async () => {
  const rows = [...(await sees.getStats()).values()].filter((one) => one.type === 'inbound-rtp');
  const row = rows[0] ?? {};
  return {state: sees.connectionState, sends: sends.connectionState, decoded: row.framesDecoded ?? 0,
          width: window.video?.videoWidth ?? 0};
}"""


@pytest.fixture
async def local() -> AsyncIterator[tuple[MediaPlane, Relay]]:
    """A media plane as a server on loopback has it."""
    relay = Relay(("127.0.0.1",), local_only=True)
    media = MediaPlane(relay, Rooms())
    yield media, relay
    await media.close()


FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")


@pytest.mark.skipif(FIREFOX is None, reason="no Firefox; `make test` looks for one")
async def test_firefox_publishes_two_layers_and_plays_them(local: tuple[MediaPlane, Relay], wait: Any) -> None:
    media, relay = local
    async with run_firefox() as firefox:
        async def run(script: str, argument: Any = None) -> Any:
            return await firefox.do("evaluate", script=f"({script})({json.dumps(argument)})")

        async def until(holds: Any, what: str) -> dict[str, Any]:
            async with asyncio.timeout(30):
                while True:
                    now = await run(STATE)
                    if holds(now):
                        return dict(now)
                    await asyncio.sleep(0.1)
            raise AssertionError(what)

        await firefox.do("goto", url="about:blank")
        made = await media.publish(ROOM, HERE, await run(PUBLISH))
        await run(ACCEPT, ["sends", made.answer_sdp])
        await wait(lambda: media.publications(ROOM), "it publishes")
        played = await media.play(made.publication.id, await run(PLAY), participant="account:2")
        await run(ACCEPT, ["sees", played.answer_sdp])
        fans = relay.forwarders[made.publication.id].layers["video"].fans
        await wait(lambda: all(one.source.generation for one in fans), "both layers come")
        now = await until(lambda now: now["decoded"] > 30 and now["width"] == 640, "the large one is shown")
        assert (now["state"], now["sends"]) == ("connected", "connected")
        viewer = relay.viewers[played.id]
        viewer.most = "low"
        await until(lambda now: now["width"] == 320, "the small one is shown when it is all that the line carries")
        viewer.most = "high"
        later = await until(lambda now: now["width"] == 640, "and the large one again")
        assert later["decoded"] > now["decoded"]
