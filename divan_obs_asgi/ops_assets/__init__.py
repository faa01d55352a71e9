"""
Files for the systems around the service: alert rules, dashboards, load tests.

`files` builds what depends on the metrics, from their catalogue and from `Parameters`; its output for the default
parameters stands beside the code, and is read through `importlib.resources`.
"""
