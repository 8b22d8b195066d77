"""Names under which the composition root keeps its objects in the application."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from telemed.audit import Actor
from telemed.consultation.people import People
from telemed.consultation.post import Post
from telemed.consultation.presence import StationPresence
from telemed.consultation.rooms import Rooms
from telemed.consultation.seats import Guest
from telemed.http.limits import Limits
from telemed.http.pages import Pages
from telemed.http.route import RouteTable
from telemed.identity.accounts import Account
from telemed.identity.passwords import Passwords
from telemed.media.backend import MediaBackend
from telemed.media.checks import Checks
from telemed.media.client import RelayClient
from telemed.media.recording.recorder import Recorder
from telemed.media.turn import IceServers
from telemed.media.turn_probe import TurnProbe
from telemed.settings import Settings
from telemed.store.database import Database
from telemed.store.sealing import Sealer
from telemed.vitals.hub import Hub
from telemed.vitals.ingest import Ingest

SETTINGS = web.AppKey("SETTINGS", Settings)
DATABASE = web.AppKey("DATABASE", Database)
COMMITS = web.AppKey("COMMITS", Database)  # the commit writers' own connections: nobody else makes them wait
SEALER = web.AppKey("SEALER", Sealer)
ROOMS = web.AppKey("ROOMS", Rooms)
STATIONS = web.AppKey("STATIONS", StationPresence)
PEOPLE = web.AppKey("PEOPLE", People)
BOOT_ID = web.AppKey("BOOT_ID", UUID)
ROUTES = web.AppKey("ROUTES", RouteTable)
PASSWORDS = web.AppKey("PASSWORDS", Passwords)
LIMITS = web.AppKey("LIMITS", Limits)
PAGES = web.AppKey("PAGES", Pages)
POST = web.AppKey("POST", Post)
# What the middleware puts into a request: who asks; for a sign-in's cookie also whose and which one it is.
REQUEST_ID = web.RequestKey("REQUEST_ID", str)
ACTOR = web.RequestKey("ACTOR", Actor)
ACCOUNT = web.RequestKey("ACCOUNT", Account)
SIGN_IN = web.RequestKey("SIGN_IN", bytes)
SEAT = web.RequestKey("SEAT", Guest)  # of a guest instead

MEDIA = web.AppKey("MEDIA", MediaBackend)
RELAY = web.AppKey("RELAY", RelayClient)
RECORDER = web.AppKey("RECORDER", Recorder)
CHECKS = web.AppKey("CHECKS", Checks)
ICE_SERVERS = web.AppKey("ICE_SERVERS", IceServers)
TURN = web.AppKey("TURN", TurnProbe)
INGEST = web.AppKey("INGEST", Ingest)
HUB = web.AppKey("HUB", Hub)
