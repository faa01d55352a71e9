"""Real servers for the tests: own processes or threads on free ports of 127.0.0.1, which end with the session."""
