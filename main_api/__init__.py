"""The Main Worker: authenticates, authorizes, routes, registers workers, vends keys."""
