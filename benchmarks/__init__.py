"""Measures Strongroom against the floor of what it is built on, in the same run."""
