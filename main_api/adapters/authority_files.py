"""The deployment's certificate authority as two files of this machine."""

from pathlib import Path

from strongroom import limits, logs, privatefile
from strongroom.certificates import Authority
from strongroom.errors import StrongroomError, UnavailableError

_log = logs.logger()


class AuthorityFiles:
    """The `AuthorityKeeper` of a Main Worker: its key in a file that nobody else can read."""

    def __init__(self, ca_file: Path, key_file: Path | None) -> None:
        """Take where both lie; `key_file` is None where this Main Worker has no key."""
        self._ca_file = ca_file
        self._key_file = key_file
        self._trouble = ""

    def authority(self) -> Authority:
        """Read it."""
        if self._key_file is None:
            raise UnavailableError(
                "this Main Worker issues no certificates: STRONGROOM_CA_KEY_FILE names no key"
            )
        try:
            key = privatefile.read(self._key_file, limits.CERTIFICATE_FILE_BYTES_MAX)
            found = Authority.load(key, self._ca_file.read_bytes())
        except (StrongroomError, OSError) as error:
            self._tell(error.detail if isinstance(error, StrongroomError) else str(error))
            # Workers are shown this one, which names no file.
            raise UnavailableError(
                "the key that STRONGROOM_CA_KEY_FILE names cannot be used; the Main Worker's log"
                " says why"
            ) from error
        self._trouble = ""
        return found

    def _tell(self, trouble: str) -> None:
        """Log it, once for as long as it stays the same."""
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("authority-unusable", reason=trouble)
