"""`strongroom get`, `put` and the like: what a deployment stores, on the client library."""
