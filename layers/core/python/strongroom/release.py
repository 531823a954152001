"""Which release of the software this is."""

from importlib import metadata


def version() -> str:
    """Return it; empty where the code was put on the path without what an installation records."""
    try:
        return metadata.version("strongroom")
    except metadata.PackageNotFoundError:
        return ""
