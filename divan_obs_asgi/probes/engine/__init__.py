"""The engine of the probes: registry, schedule, hysteresis and validation."""
