"""The relay: a process of its own that passes media packets on. It knows peers and publications, and no person."""
