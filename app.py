"""Chalice's entry point: the REST face's application object, nothing else."""

from main_api.rest.app import app

__all__ = ["app"]
