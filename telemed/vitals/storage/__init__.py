"""Vital signs at rest: hot chunks packed into segments and a pyramid, and read back to the last bit."""
