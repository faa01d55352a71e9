"""The spans that the library makes: of requests, events, jobs and calls."""
