"""What the command line refuses by itself; everything else it reports is another part's error."""

from __future__ import annotations

from telemed.errors import TelemedError


class SettingsInvalid(TelemedError):
    """An environment variable or option has a value that cannot be; ``name`` says which, ``value`` what."""

    code = "settings_invalid"
    status = 500


class PortInUse(TelemedError):
    """Another program listens on ``port``; choose another with ``--port`` (``make demo PORT=8081``)."""

    code = "port_in_use"
    status = 500


class AddressUnavailable(TelemedError):
    """This machine has no address ``host``, or this account may not listen on its ``port``."""

    code = "address_unavailable"
    status = 500


class DemoPartFailed(TelemedError):
    """A part of the demo ended before it was ready; ``log`` names the file that says why."""

    code = "demo_part_failed"
    status = 500


class DemoRecordMissing(TelemedError):
    """The data folder has a demo in it, but its file ``demo.json`` with the passwords is not there."""

    code = "demo_record_missing"
    status = 500


class DemoSlow(TelemedError):
    """The demo's server did not answer in time; ``log`` names its log file."""

    code = "demo_slow"
    status = 500


class MigrationsPending(TelemedError):
    """The database of ``DATABASE_URL`` does not have this program's schema; ``telemed migrate`` brings it there."""

    code = "migrations_pending"
    status = 500


class OrganisationUnknown(TelemedError):
    """There are ``count`` organisations and none was named; ``--organisation`` names or makes one."""

    code = "organisation_unknown"
    status = 500


class RoleUnknown(TelemedError):
    """There is no role ``name``."""

    code = "role_unknown"
    status = 500


class PasswordUnfit(TelemedError):
    """A password has at least ``shortest`` and at most ``longest`` characters."""

    code = "password_unfit"
    status = 500


class RecordingNotOpened(TelemedError):
    """The recording ``file`` cannot be read, for ``reason``."""

    code = "recording_not_opened"
    status = 500


class ChannelUnknown(TelemedError):
    """The recording has no channel ``name``; it has ``channels``."""

    code = "channel_unknown"
    status = 500


class TrendUnwritable(TelemedError):
    """The file ``path`` for the numbers of every second cannot be written, for ``reason``."""

    code = "trend_unwritable"
    status = 500
