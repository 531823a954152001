"""AdminService: what administrators do."""

from typing import Final

from main_api.rpc.admin import (
    audit,
    backups,
    clients,
    databases,
    issuers,
    jobs,
    keys,
    templates,
    workers,
)
from strongroom_pb.v1 import admin_pb2 as pb

DESCRIPTOR: Final = pb.DESCRIPTOR.services_by_name["AdminService"]
METHODS: Final = (
    *templates.METHODS,
    *databases.METHODS,
    *clients.METHODS,
    *issuers.METHODS,
    *workers.METHODS,
    *keys.METHODS,
    *jobs.METHODS,
    *backups.METHODS,
    *audit.METHODS,
)
