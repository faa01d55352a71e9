"""Several workers: each keeps a ring file, and whichever worker answers reads those of all."""
