"""Recording what is published in a consultation: packets become WebM without being decoded, sealed as they come."""
