"""What was stored of a window as files that other programs read: EDF+, WFDB and CSV, with the exact samples."""
