"""Side-by-side measurements against peers. They are not tests: figures depend on the machine."""
