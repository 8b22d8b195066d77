"""The station program: devices, a durable spool, one uplink, and the camera beside them.

It forwards device bytes and decodes nothing; see ``docs/protocol.md`` for what leaves it.
"""
