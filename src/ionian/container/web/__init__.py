"""How a container answers web requests: whatever the user wrote is made an ASGI app, which runs as an input."""
