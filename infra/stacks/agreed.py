"""What templates and the processes that run by them agree on."""

from typing import Final

ROOT_PURPOSE: Final = "strongroom-keyring-root"
"""The encryption context's `purpose` (main_api/adapters/keys/root_message.py)."""

UID: Final = "10001"
"""The user of both images (main_api/Dockerfile, processing_fn/Dockerfile)."""

MOUNT: Final = "/mnt/strongroom"
"""Where every process has the shared directory."""

LOGGED: Final = {
    "key-provider-unavailable": "KMS does not open the keyring: processes that start now cannot",
    "keyring-unreadable": "The keyring cannot be read, or was changed",
    "audit-unavailable": "The audit log cannot be written: administrative acts are refused",
    "start-failed": "The Lambda cannot start",
    "certificate-ends-soon": "A Main Worker's certificate is not renewed",
    "certificate-not-renewed": "A Processing Worker's certificate is not renewed",
    "request-failed": "A request met a defect",
    "rotation-failed": "Keys are not rotated",
}
"""Events of our logs, any one of which is an alarm."""
