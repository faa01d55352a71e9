"""What the process itself reports: memory and build, a blocked event loop, lag of Redis streams."""
