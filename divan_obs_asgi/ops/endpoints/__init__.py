"""One file for each ops endpoint."""
