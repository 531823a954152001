"""`strongroom profile`: names for deployments, and where their secrets are."""
