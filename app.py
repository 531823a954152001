"""Chalice's entry point: the REST face's application object, nothing else.

The collector of cycles rests meanwhile: modules make tens of thousands of objects and no garbage,
and looking for it was a tenth of a cold start's processor time. What they have made stays, so
it is not looked at later either.
"""

import gc

gc.disable()
from main_api.rest.app import app  # noqa: E402 - while the collector rests

gc.freeze()
gc.enable()

__all__ = ["app"]
