"""
Files for the systems around the service: alert rules, dashboards, runbooks, load tests and deployment files.

`files` generates them from the catalogue of metrics and from `Parameters`. The output for the default parameters is
committed in this package.
"""
