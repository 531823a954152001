"""`strongroom schema`, `db` and `client`: what administrators set up, on the client library."""
