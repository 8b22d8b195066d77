"""The Telemed server: consultations, live vitals, media and their record."""

__version__ = "0.1.0"
