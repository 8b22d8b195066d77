"""Thin handlers: parse, call, render; and what surrounds them."""
