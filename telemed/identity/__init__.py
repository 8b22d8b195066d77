"""Organisations, accounts, sign-ins, station keys, and the policy: who may do what."""
