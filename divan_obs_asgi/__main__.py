"""`python -m divan_obs_asgi` is the command `divan-obs`, also where no script of it is on the PATH."""

from divan_obs_asgi.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main(prog_name="divan-obs")
