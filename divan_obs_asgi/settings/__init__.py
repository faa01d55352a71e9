"""The flags of the library: one declaration each, read from the environment."""

from divan_obs_asgi.settings.flags import DEFAULT_MIDDLEWARE, Settings

__all__ = ["DEFAULT_MIDDLEWARE", "Settings"]
