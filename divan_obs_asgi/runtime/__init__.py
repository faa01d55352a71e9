"""Reports on the process itself: memory and build, a blocked event loop, lag of Redis streams."""
