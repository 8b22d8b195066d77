"""People cared for, their attachments to stations, their consents."""
