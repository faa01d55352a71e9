"""The spans that this library creates: for requests, events, jobs and the application's own work."""
