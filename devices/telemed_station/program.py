"""The station program: one driver, one recorder, one spool, one uplink, a camera or two, one player.

``run`` returns after SIGTERM, SIGINT or SIGHUP, or when cancelled, with everything measured on disk. Log lines go to
standard error as ``key=value``; they hold no patient's name and no sample.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import structlog

from telemed_station.camera.played import Listed
from telemed_station.camera.player import Player
from telemed_station.camera.publisher import Camera
from telemed_station.camera.sources import Sources
from telemed_station.camera.stamps import check_contract, quiet_libraries
from telemed_station.camera.thrift import Thrift
from telemed_station.camera.ways import Ways
from telemed_station.clock import Clock, StationClock
from telemed_station.console import served
from telemed_station.drivers import open_driver
from telemed_station.drivers.driver import Driver
from telemed_station.drivers.replay import Replay
from telemed_station.errors import HomeInUse, ScenarioUnknown, StationOnline
from telemed_station.people import People, fit_name, fit_year
from telemed_station.people_file import Person
from telemed_station.recorder import Recorder
from telemed_station.spool_room import BYTES_MAX, RESERVE_BYTES
from telemed_station.spool_thread import SpoolThread
from telemed_station.trouble import at_start
from telemed_station.uplink import Address, Http, Uplink, open_http

PROGRAM = "telemed-station 0.1.0"
FIRST_WELCOME_S = 3.0  # how long the first epochs wait to learn whose they are; then they are nobody's
ORDERS_WAITING = 256  # messages of the server not yet obeyed; a healthy station has none
LAST_WORDS_S = 1.0  # a commit takes 0.1 s
UNDER_WAY = ("live", "interrupted")  # states of a consultation in which pictures and sound pass
STOP_S = 5.0  # to say goodbye to the server, the camera and the player

log = structlog.get_logger("telemed.station")


@dataclass(frozen=True)
class StationSettings:
    """What the command line decides.

    ``device`` is ``simulator`` or ``replay:FILE``; ``camera`` and ``exam_camera`` are ``generated``, ``none``,
    ``file:PATH`` or ``/dev/video0``; ``microphone`` is ``tone``, ``none``, ``file:PATH`` or ``alsa:DEVICE``;
    ``speaker`` is ``none``, ``alsa:DEVICE`` or ``file:PATH``. ``spool_bytes`` of chunks may wait while
    ``spool_reserve_bytes`` of its disk stay free; ``spool_key_file`` None: ``spool.key`` beside it.
    """

    server: str
    key: str = field(repr=False)
    home: Path
    device: str = "simulator"
    scenario: str = "sinus"
    seed: int = 1
    device_heart_rate: bool = False
    camera: str = "generated"
    exam_camera: str = "none"
    microphone: str = "tone"
    speaker: str = "none"
    spool_bytes: int = BYTES_MAX
    spool_reserve_bytes: int = RESERVE_BYTES
    spool_key_file: Path | None = None


async def run(settings: StationSettings, clock: Clock | None = None) -> None:
    """Run the station until it is told to stop. Raises a ``StationError`` when it cannot begin."""
    check_contract()
    quiet_libraries()
    if not structlog.is_configured():
        _log_to_stderr()
    clock = clock or StationClock()
    driver = open_driver(
        settings.device, seed=settings.seed, scenario=settings.scenario, start_us=clock.stamp_us(),
        heart_rate=settings.device_heart_rate,
    )  # fmt: skip
    with _home(settings.home):
        spool = SpoolThread(
            settings.home / "spool.sqlite3", settings.spool_bytes, reserve_bytes=settings.spool_reserve_bytes,
            key_file=settings.spool_key_file,
        )  # fmt: skip
        try:
            log.info("station_begins", device=driver.name, source=str(clock.source), waiting=spool.waiting.chunks)
            _tell_loop(driver)
            async with open_http() as http:
                await _Station(settings, clock, driver, spool, http).run()
        finally:
            await spool.close()
            log.info("station_ended", waiting=spool.waiting.chunks)


class _Station:
    """The parts and what the server orders them to do."""

    def __init__(self, settings: StationSettings, clock: Clock, driver: Driver, spool: SpoolThread, http: Http) -> None:
        self._clock = clock
        self._driver = driver
        self._spool = spool
        self._orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue(ORDERS_WAITING)
        address = Address(settings.server, settings.key, PROGRAM)
        self._home = settings.home
        self._people = People(spool)
        self._deciding = asyncio.Lock()  # whose the samples are: the server's word and the console's one by one
        self._uplink = Uplink(
            address, clock, spool, http, hear=self._hear, status=self._status, people=self._people
        )  # fmt: skip
        self._recorder = Recorder(
            driver, clock, spool, begun=self._uplink.begun, written=self._uplink.offer
        )  # fmt: skip
        sources = Sources(settings.camera, settings.microphone, clock, driver.since_beat_us)
        exam = Sources(settings.exam_camera, "none", clock, driver.since_beat_us, shown="exam")
        ways, thrift = Ways(http, settings.server, settings.key), Thrift(lambda: self._uplink.behind_s)
        self._cameras = [Camera(http, settings.server, settings.key, sources, ways=ways, thrift=thrift)]
        if settings.exam_camera != "none":
            self._cameras.append(Camera(http, settings.server, settings.key, exam, "exam", ways, thrift))
        self._player = Player(http, settings.server, settings.key, settings.speaker, ways)
        self._incarnation = ""
        self._welcomed = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Run every part; when one fails, or a signal comes, stop them all."""
        await self._people.load()
        parts = [self._uplink.run(), self._record(), self._obey()]
        parts += [camera.run() for camera in self._cameras]
        with _signals(self._stopping):
            async with served(self._home, self._asked):
                await self._until_one_ends([asyncio.create_task(part) for part in parts])

    async def _until_one_ends(self, tasks: list[asyncio.Task[Any]]) -> None:
        tasks.append(asyncio.create_task(self._stopping.wait()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._stop(tasks)

    async def _stop(self, tasks: list[asyncio.Task[Any]]) -> None:
        with contextlib.suppress(Exception):  # the last samples; whatever failed has been told already
            await self._recorder.finish()
            await self._last_words()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._player.close()

    async def _last_words(self) -> None:
        """Let the server acknowledge the last samples; what it does not, waits in the spool for the next run."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                while self._uplink.connected.is_set() and self._spool.waiting.chunks:
                    await asyncio.sleep(LAST_WORDS_S / 20)
                    await self._spool.flush()

    async def _record(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.0 if self._people.untold else FIRST_WELCOME_S):
                await self._welcomed.wait()
        here = self._people.here
        if here is not None and not self._recorder.recording:
            await self._decide(here.attachment)  # entered before the program ended, and there still
        await self._recorder.run()

    async def _decide(self, word: str | None, *, new: bool = False) -> None:
        """Begin epochs of whomever the samples are by the server's word, unless those recorded are."""
        async with self._deciding:
            attachment = await self._people.whose(word, new=new)
            asked_for = new and attachment == word
            if asked_for or not self._recorder.recording or attachment != self._recorder.attachment:
                await self._recorder.renew(attachment)

    async def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        """Answer the console. Raises the ``StationError`` that refuses it."""
        async with self._deciding:
            match question.get("do"):
                case "enter":
                    name, year = fit_name(question.get("name")), fit_year(question.get("birth_year"))
                    await self._change(lambda now_us: self._people.enter(name, year, self._clock.source, now_us))
                case "gone":
                    await self._change(lambda now_us: self._people.gone(now_us, self._clock.source))
            here = self._people.here
            person = None if here is None else {"name": here.name, "birth_year": here.birth_year}
            status = self._status()
            return {
                "person": person, "connected": self._uplink.connected.is_set(), "state": status["state"],
                "queue": status["queue"],
            }  # fmt: skip

    async def _change(self, change: Callable[[int], Awaitable[Person | None]]) -> None:
        """Somebody comes or goes; what was measured until then is of before."""
        if self._uplink.connected.is_set():
            raise StationOnline()

        async def decide(now_us: int) -> str | None:
            person = await change(now_us)
            return None if person is None else person.attachment

        await self._recorder.renew(decide=decide)

    def _hear(self, message: dict[str, Any]) -> None:
        """An order of the server; obeyed in turn. One too many is a server gone mad: the newest is left out."""
        try:
            self._orders.put_nowait(message)
        except asyncio.QueueFull:
            log.error("order_left_out", type=message.get("type"))

    async def _obey(self) -> None:
        while True:
            message = await self._orders.get()
            match message.get("type"):
                case "welcome":
                    self._incarnation = str(message.get("server"))
                    await self._decide(_text(message.get("attachment")))
                    self._welcomed.set()
                case "renew":
                    await self._decide(_text(message.get("attachment")), new=True)
                case "provisional_kept" | "error":
                    await self._answered(message)
                case "number_taken" if self._recorder.records(message["number"]):
                    await self._recorder.renew(self._recorder.attachment)
                case "consultation":
                    self._consultation(message)
                case "scenario":
                    self.switch(str(message.get("name")))

    async def _answered(self, message: dict[str, Any]) -> None:
        """The server kept a person or refused one; of a refused one nothing more is recorded."""
        await self._people.answered(message)
        if message.get("type") == "error":
            await self._decide(self._people.word)
        self._uplink.settled()

    def _consultation(self, message: dict[str, Any]) -> None:
        found = message.get("consultation")
        consultation = found if isinstance(found, dict) and found.get("state") in UNDER_WAY else None
        listed = message.get("publications")
        publications = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        room = _text(consultation.get("id")) if consultation else None
        ours = {one.get("source") for one in publications if one.get("by") == "station"}
        for camera in self._cameras:
            camera.publish(self._incarnation, room, listed=camera.source in ours)
        people = [self._listed(one) for one in publications if room is not None and one.get("by") != "station"]
        self._player.play(people)

    def _listed(self, publication: dict[str, Any]) -> Listed:
        kinds = tuple(str(kind) for kind in publication.get("kinds") or ())
        named = (str(publication.get(name, "")) for name in ("participant", "by", "source"))
        return Listed(self._incarnation, str(publication.get("id")), kinds, *named)

    def switch(self, scenario: str) -> None:
        """Play another scenario of the simulator."""
        try:
            self._driver.switch(scenario, self._clock.stamp_us())
        except ScenarioUnknown as error:
            log.warning(error.code, **error.params)
        else:
            log.info("scenario", name=scenario)

    def _status(self) -> dict[str, Any]:
        loop, full = self._driver.loop, self._recorder.spool_full
        return {
            "queue": self._spool.told(self._clock.stamp_us(), full=full),
            "call": self._player.status(),
            "scenario": self._driver.scenario,
            "loop": {"first": loop.first, "end": loop.end, "channels": loop.channels} if loop else None,
            "paused": [camera.source for camera in self._cameras if camera.paused],
            "state": "spool_full" if full else "recording",
        }


def _log_to_stderr() -> None:
    """One line an event: time, level, event and its fields as ``key=value``."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event"), drop_missing=True),
        ],
        logger_factory=structlog.PrintLoggerFactory(_Unfailing(sys.stderr)),
    )


class _Unfailing(io.StringIO):
    """A stream that loses what cannot be written: a log on a full disk, or of a closed terminal, ends no recording."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Pass it on if that can be."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush it if that can be."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _tell_loop(driver: Driver) -> None:
    """Say which samples of the recording are repeated, and what the seam is like."""
    loop = driver.loop
    if loop is None or not isinstance(driver, Replay):
        return
    seam = driver.seam
    log.info(
        "loop", first_sample=loop.first, end_sample=loop.end, samples=loop.samples, channels=loop.channels,
        gap=loop.gap, step_uv=max(seam.step_uv) if seam else None, seam_interval=seam.interval if seam else None,
        shortest=seam.shortest if seam else None, longest=seam.longest if seam else None,
    )  # fmt: skip


@contextlib.contextmanager
def _home(home: Path) -> Iterator[None]:
    """The data folder, for this program alone. Raises ``HomeInUse``, ``SpoolFull`` or ``SpoolUnwritable``."""
    with at_start(home / "station.lock"):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(home / "station.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise HomeInUse(home=str(home)) from error
    try:
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _signals(stopping: asyncio.Event) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP set the event; elsewhere than in the main thread nothing is done about them."""
    loop = asyncio.get_running_loop()
    heard: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to outlive the terminal
        heard += (signal.SIGHUP,)
    try:
        for one in heard:
            loop.add_signal_handler(one, stopping.set)
    except (RuntimeError, ValueError, NotImplementedError):
        heard = ()
    try:
        yield
    finally:
        for one in heard:
            loop.remove_signal_handler(one)
