"""The deployment's record of backups, over its REST API."""

from urllib.parse import quote

import msgspec

from cli.access import Deployment
from strongroom.errors import ConflictError, NotFoundError


class _Backup(msgspec.Struct, frozen=True):
    backup_id: str


class _Backups(msgspec.Struct, frozen=True):
    backups: list[_Backup]


class DeploymentsRegister:
    """The `Register` of a deployment that runs."""

    def __init__(self, deployment: Deployment) -> None:
        """Take the deployment."""
        self._deployment = deployment

    def names(self) -> set[str]:
        """List the backups."""
        found = self._deployment.get("/backups", _Backups).backups
        return {one.backup_id for one in found}

    def put(self, name: str) -> None:
        """Put one on record; no two have the same name, so one that is there is ours."""
        try:
            self._deployment.put(f"/backups/{quote(name)}", b"", _Backup)
        except ConflictError:
            # A first attempt may have taken place, although nobody could say so.
            if name not in self.names():
                raise

    def remove(self, name: str) -> None:
        """Take one off the record; it may be off already."""
        try:
            self._deployment.delete(f"/backups/{quote(name)}")
        except NotFoundError:
            return
