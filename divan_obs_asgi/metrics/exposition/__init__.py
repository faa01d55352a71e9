"""The page of `/metrics`."""
