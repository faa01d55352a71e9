"""The reference backend for this process's environment: `uvicorn examples.divan.app:app`."""

from examples.divan.backend import create_app

app = create_app()
