"""Bytes to measurements and back: pure decoders of what devices send. No I/O, no clock, no log."""
