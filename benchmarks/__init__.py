"""Side-by-side measurements against peers. Nothing here is a test: machines differ, ratios vary."""
