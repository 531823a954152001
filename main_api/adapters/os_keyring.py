"""The keyring of the operating system, through the `keyring` library."""

from strongroom.errors import UnavailableError


class KeyringEntry:
    """One secret text in the keyring of whoever runs this process."""

    def __init__(self, service: str, entry: str, what: str, instead: str) -> None:
        """Take its names.

        Args:
            service: Whose it is.
            entry: Which one.
            what: What it is, for people.
            instead: What to do where there is no keyring.
        """
        self._service = service
        self._entry = entry
        self._instead = instead
        self.name = f"{what} {service}/{entry} in the keyring of this system"

    def read(self) -> str | None:
        """Return it; None where there is none.

        Raises:
            UnavailableError: There is no keyring, or nobody has unlocked it.
        """
        return self._ask("get_password")

    def write(self, secret: str) -> None:
        """Keep it, and see that it is kept: some backends keep nothing; raises as `read`."""
        self._ask("set_password", secret)
        if self.read() != secret:
            raise UnavailableError(f"{self.name} was not kept; configure another backend for it")

    def remove(self) -> None:
        """Remove it, where it is there; raises as `read`."""
        if self.read() is not None:
            self._ask("delete_password")

    def _ask(self, method: str, *values: str) -> str | None:
        try:
            # Only where it is chosen: a Lambda has neither the library nor a keyring.
            import keyring  # noqa: PLC0415
        except ImportError as error:
            raise UnavailableError(
                "the keyring of this system needs the library `keyring`; install it, or"
                f" {self._instead}"
            ) from error
        try:
            answer = getattr(keyring, method)(self._service, self._entry, *values)
        except Exception as error:
            # Without its text: a backend may say anything in it.
            reason = type(error).__name__
            raise UnavailableError(
                f"{self.name} cannot be used ({reason}); unlock the keyring, or see that the user"
                f" who runs this has one, or {self._instead}"
            ) from error
        return None if answer is None else str(answer)
