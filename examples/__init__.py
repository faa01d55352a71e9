"""Applications that use divan_obs_asgi."""
