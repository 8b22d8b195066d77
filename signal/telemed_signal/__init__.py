"""Arrays to arrays: filters, beats, rates and reductions of vital signs, their state explicit. No I/O, no clock."""
