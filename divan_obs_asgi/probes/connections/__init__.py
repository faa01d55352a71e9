"""Connections and threads that belong to one probe."""
