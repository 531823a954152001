"""The deployment's record of backups."""

from strongroom_client import Client, ConflictError, NotFoundError, OutcomeUnknownError


class DeploymentsRegister:
    """The `Register` of a deployment that runs."""

    def __init__(self, client: Client) -> None:
        """Take a client of the deployment."""
        self._client = client

    def names(self) -> set[str]:
        """List the backups."""
        return {one.backup_id for one in self._client.admin.backups()}

    def put(self, name: str) -> None:
        """Put one on record; no two have the same name, so one that is there is ours."""
        try:
            self._client.admin.record_backup(name)
        except (ConflictError, OutcomeUnknownError):
            # A first attempt may have taken place, although nobody could say so.
            if name not in self.names():
                raise

    def remove(self, name: str) -> None:
        """Take one off the record; it may be off already."""
        try:
            self._client.admin.delete_backup(name)
        except NotFoundError:
            return
