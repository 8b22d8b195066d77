"""A recording run through the live pipeline, as ``telemed analyze`` does it (docs/signal.md, "A recording")."""
