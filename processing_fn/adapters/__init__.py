"""The way to the Main Worker."""
