"""When a probe runs, what its results mean, and who may register one."""
