"""Vital signs: the stations' uplink, what is stored of it, the live views and the review."""
