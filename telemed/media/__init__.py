"""Pictures and sound: publications come in by WHIP and go out by WHEP, forwarded and never decoded."""
