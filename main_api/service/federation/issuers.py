"""What administrators do with foreign issuers: trust one, look at it, ask it, trust it no more."""

from dataclasses import dataclass

import msgspec

from main_api.domain.caller import Caller
from main_api.domain.issuer_keys import IssuerKeySet
from main_api.domain.trusted_issuers import IssuerRecord, TrustedIssuer
from main_api.service.audit import entry as audit
from main_api.service.callers.access import Access
from main_api.service.federation.ports import KeySetSource
from main_api.service.ports import ControlStore
from strongroom import ids, limits
from strongroom.clock import Clock, rfc3339
from strongroom.errors import ConflictError, IntegrityError, NotFoundError, TooLargeError


@dataclass(frozen=True, slots=True)
class Issuers:
    """The issuers that are trusted, in the order of their names.

    Every method takes the action `admin` in a grant on every database, and raises ForbiddenError
    where it is missing: who trusts an issuer can give itself any grant.
    """

    access: Access
    store: ControlStore
    source: KeySetSource
    clock: Clock

    def put(self, caller: Caller, name: str, trusted: TrustedIssuer) -> tuple[IssuerRecord, bool]:
        """Trust an issuer, or change what is trusted; tell whether the name is new.

        The issuer is not asked: it may be down, and `ask` tells.

        Raises:
            InvalidArgumentError: Not a name, or not an issuer that could be asked.
            TooLargeError: All that is said of it is more than `limits.ISSUER_BYTES_MAX`.
            ConflictError: Another name has this issuer, or there are too many.
            BusyError, IntegrityError, UnavailableError: The disk, or what lies there.
        """
        self.access.require_everywhere(caller)
        ids.record_name(name)
        if len(msgspec.json.encode(trusted)) > limits.ISSUER_BYTES_MAX:
            raise TooLargeError(f"an issuer has at most {limits.ISSUER_BYTES_MAX} bytes")
        self.source.check(trusted)
        with self.store.exclusive():
            # One that does not verify is replaced: it was whatever somebody has made of it.
            before = self._readable(name)
            self._require_place(name, trusted)
            made = self._made(name, trusted, before)
            audit.note(issuer=trusted.issuer, grants="; ".join(_said(trusted)))
            self.store.issuers.put(name, made)
        return made, before is None

    def get(self, caller: Caller, name: str) -> IssuerRecord:
        """Return an issuer.

        Raises:
            NotFoundError: There is none of this name.
        """
        self.access.require_everywhere(caller)
        found = self.store.issuers.get(ids.record_name(name))
        if found is None:
            raise NotFoundError(f"no such issuer: {name}")
        return found

    def all(self, caller: Caller) -> tuple[list[IssuerRecord], int]:
        """Return every issuer, and how many records do not verify."""
        self.access.require_everywhere(caller)
        names = self.store.issuers.names()
        found = [record for record in map(self._readable, names) if record is not None]
        return found, len(names) - len(found)

    def remove(self, caller: Caller, name: str) -> None:
        """Trust an issuer no more; its tokens are refused as those of a removed client.

        Raises:
            NotFoundError: There is none of this name.
        """
        self.access.require_everywhere(caller)
        with self.store.exclusive():
            if ids.record_name(name) not in self.store.issuers.names():
                raise NotFoundError(f"no such issuer: {name}")
            self.store.issuers.remove(name)

    def ask(self, caller: Caller, name: str) -> IssuerKeySet:
        """Ask an issuer for its keys now, and return them; what is in use stays as it is.

        Raises:
            NotFoundError: There is none of this name.
            IssuerUnreachableError: It does not answer, or not with keys; the detail says what.
        """
        return self.source.read(self.get(caller, name).trusted)

    def _made(self, name: str, trusted: TrustedIssuer, before: IssuerRecord | None) -> IssuerRecord:
        now = rfc3339(self.clock.wall_ms())
        if before is None or before.trusted.issuer != trusted.issuer:
            return IssuerRecord(
                name=name,
                incarnation=ids.new_id(64),
                created_at=now,
                updated_at=now,
                trusted=trusted,
            )
        return IssuerRecord(
            name=name,
            incarnation=before.incarnation,
            created_at=before.created_at,
            updated_at=now,
            trusted=trusted,
        )

    def _require_place(self, name: str, trusted: TrustedIssuer) -> None:
        others = [other for other in self.store.issuers.names() if other != name]
        if len(others) >= limits.ISSUERS_MAX:
            raise ConflictError(f"no more than {limits.ISSUERS_MAX} issuers are trusted")
        for record in map(self._readable, others):
            if record is not None and record.trusted.issuer == trusted.issuer:
                raise ConflictError(f"the issuer is trusted under the name {record.name}")

    def _readable(self, name: str) -> IssuerRecord | None:
        try:
            return self.store.issuers.get(name)
        except IntegrityError:
            return None


def _said(trusted: TrustedIssuer) -> list[str]:
    return [
        f"{', '.join(rule.claims) or 'every token'}: {grant}"
        for rule in trusted.rules
        for grant in rule.grants
    ]
