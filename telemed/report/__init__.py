"""Notes on a consultation: drafted, signed, amended."""
