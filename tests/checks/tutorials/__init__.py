"""Applications as the frameworks' own tutorials have one write them; each is imported by a process of its own."""
