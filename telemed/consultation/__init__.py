"""Consultations from waiting to ended: states, rooms, presence."""
