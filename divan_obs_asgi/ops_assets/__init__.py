"""Data files for the systems around the service, read through `importlib.resources`."""
