"""Every decision of the server, pure: no I/O and no clock, so a simulated world can drive it."""
