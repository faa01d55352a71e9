"""From start to shutdown: background tasks beside the application, drain, signals."""
