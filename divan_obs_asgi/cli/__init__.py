"""The command `divan-obs`."""
