"""A new worker's first certificate, where nobody has put one into its place.

The worker is given the enrolment's certificate (`tls.ENROLMENT_NAME`). A Main Worker that sees it
issues one of the worker's own, for a key that never leaves this machine; from then on the worker
renews that by itself.
"""

from pathlib import Path
from typing import Final

import grpc
import msgspec

from processing_fn.settings import Settings
from strongroom import certificates, durable
from strongroom.errors import InvalidArgumentError, UnavailableError
from strongroom.identity import Held
from strongroom.rpc import status, tls
from strongroom_pb.v1 import subscription_pb2 as pb
from strongroom_pb.v1 import subscription_pb2_grpc

_CALL_S: Final = 10.0
_PRIVATE: Final = 0o700


class _Enrolment(msgspec.Struct, frozen=True):
    ca: str
    certificate: str
    key: str


def enrol(settings: Settings) -> None:
    """Have a certificate issued, unless there is one, or no enrolment to ask with.

    Raises:
        InvalidArgumentError: The enrolment is not of its form.
        UnavailableError: The Main Worker cannot be reached, or issues none; the disk refuses.
        StrongroomError: The Main Worker refuses: the name is revoked, or a live worker's.
    """
    if not settings.enrolment or settings.identity.certificate_file.exists():
        return
    try:
        shown = msgspec.json.decode(settings.enrolment, type=_Enrolment)
    except msgspec.MsgspecError:
        # Not `from`: it may quote the key.
        raise InvalidArgumentError(
            "STRONGROOM_ENROLMENT is a JSON object of ca, certificate and key"
        ) from None
    held = Held(
        authorities=shown.ca.encode(),
        certificate_pem=shown.certificate.encode(),
        key_pem=shown.key.encode(),
        certificate=certificates.require_pair(shown.certificate.encode(), shown.key.encode()),
    )
    key = certificates.new_key()
    made = _issued(settings, held, certificates.signing_request(key))
    files = settings.identity
    try:
        # The certificate last: whether it is there tells whether there is anything to do.
        _write(files.ca_file, held.authorities)
        _write(files.key_file, certificates.private_pem(key))
        _write(files.certificate_file, made)
    except OSError as error:
        raise UnavailableError(f"{error.filename}: {error.strerror}") from error


def _issued(settings: Settings, held: Held, request: bytes) -> bytes:
    with tls.channel(held, settings.main_address, tls.MAIN_NAME) as channel:
        stub = subscription_pb2_grpc.SubscriptionServiceStub(channel)
        message = pb.EnrolRequest(worker_id=settings.worker_id, request=request)
        try:
            answer = stub.Enrol(message, timeout=_CALL_S, wait_for_ready=True)
        except grpc.RpcError as error:
            raise status.from_rpc_error(error) from error
    return answer.certificate


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    durable.replace_file(durable.LocalFilesystem(), path, data)
