"""Clients that load a server without being what is measured: raw frames over one connection."""
