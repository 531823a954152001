"""Requests for entities: which worker is asked, how long, and how many there may be."""
