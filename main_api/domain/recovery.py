"""Whether a keyring that an offline key has opened is the one of what lies in a directory."""

from dataclasses import dataclass

from strongroom.errors import ConflictError, IntegrityError


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of trying a keyring on the stored files.

    Attributes:
        opened: How many files it opens.
        destroyed: How many lie under a key that was destroyed.
        refused: How many it does not open.
        first_refused: The first of them, and why.
        running: Workers whose lease has not ended.
    """

    opened: int
    destroyed: int
    refused: int
    first_refused: str
    running: tuple[str, ...]


def admit(trial: Trial, *, accept_loss: bool) -> None:
    """Refuse a keyring that is not, or not wholly, the one of the files.

    A public key wraps for anybody. So what a recovery key opens may have been made by whoever can
    write the disk; the files that were there before are the proof that it was not.

    Raises:
        IntegrityError: It opens nothing.
        ConflictError: It does not open everything, and nobody has accepted that; or a worker may
            still serve.
    """
    if trial.running:
        raise ConflictError(
            f"{', '.join(trial.running)} may still serve: stop the deployment, or wait until the"
            " leases have ended"
        )
    if not trial.refused:
        return
    told = f"{trial.refused} stored files, the first: {trial.first_refused}"
    if not trial.opened:
        raise IntegrityError(
            f"the keyring opens nothing of what lies there ({told}): it is another deployment's, or"
            " was made by somebody else; nothing was changed"
        )
    if not accept_loss:
        raise ConflictError(
            f"the keyring opens {trial.opened} stored files, and does not open {told}; look for a"
            " newer export, or accept the loss with --accept-loss; nothing was changed"
        )
