"""Calls of client libraries (SQL, Redis, HTTP): where they are made, what they wait for, how their spans are named."""
