"""The deployment's record of backups, over its REST API."""

from urllib.parse import quote

import msgspec

from cli.access import Deployment
from strongroom.errors import NotFoundError


class _Backup(msgspec.Struct, frozen=True):
    backup_id: str
    key_ids: list[str]


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

    def put(self, name: str) -> list[str]:
        """Put one on record."""
        return self._deployment.put(f"/backups/{quote(name)}", b"", _Backup).key_ids

    def remove(self, name: str) -> None:
        """Take one off the record; it may be off already."""
        try:
            self._deployment.delete(f"/backups/{quote(name)}")
        except NotFoundError:
            return
