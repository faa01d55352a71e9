"""Connections that probes open for themselves."""
