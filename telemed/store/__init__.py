"""The only place that speaks to PostgreSQL, and the keys that seal what goes there."""
