"""The station's picture and sound: the camera publishes by WHIP, the player plays by WHEP, both through aiortc."""
