"""The audit log."""

from typing import Final

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.service.audit.reading import Placed
from strongroom import limits
from strongroom.clock import rfc3339
from strongroom_pb.v1 import admin_pb2 as pb


def list_audit_records(
    main: Main, caller: Caller, request: pb.ListAuditRecordsRequest
) -> pb.ListAuditRecordsResponse:
    """Return the newest records, or what has come since a page."""
    limit = request.page_size or limits.PAGE_SIZE
    found = main.audit_reading.page(caller, request.page_token, limit)
    return pb.ListAuditRecordsResponse(
        records=map(_record, found.records), next_page_token=found.cursor, damaged=found.damaged
    )


def list_audit_heads(
    main: Main, caller: Caller, request: pb.ListAuditHeadsRequest
) -> pb.ListAuditHeadsResponse:
    """Return how far the chains have come."""
    del request
    heads = main.audit_reading.heads(caller)
    return pb.ListAuditHeadsResponse(
        heads=[
            pb.AuditHead(
                chain=one.chain, block=one.block, at=rfc3339(one.at_ms), head=one.digest.hex()
            )
            for one in heads
        ]
    )


def list_audit_keys(
    main: Main, caller: Caller, request: pb.ListAuditKeysRequest
) -> pb.ListAuditKeysResponse:
    """Return the public keys."""
    del request
    found = main.audit_reading.public_keys(caller)
    return pb.ListAuditKeysResponse(
        keys=[pb.AuditKey(key_id=key_id, public_key=key) for key_id, key in found.items()]
    )


def remove_audit_segments(
    main: Main, caller: Caller, request: pb.RemoveAuditSegmentsRequest
) -> pb.RemoveAuditSegmentsResponse:
    """Remove what was recorded long ago."""
    done = main.audit_removal.remove(caller, request.before)
    return pb.RemoveAuditSegmentsResponse(segments=done.segments, before=done.before)


METHODS: Final = (list_audit_records, list_audit_heads, list_audit_keys, remove_audit_segments)


def _record(placed: Placed) -> pb.AuditRecord:
    one = placed.record
    return pb.AuditRecord(
        record_id=placed.record_id,
        at=one.at,
        act=one.act,
        intent=one.intent,
        outcome=one.outcome,
        face=one.face,
        client=one.client,
        subject=one.subject,
        worker=one.worker,
        claimed=one.claimed,
        address=one.address,
        database=one.database,
        keys=one.keys,
        target=dict(one.target),
        detail={name: str(value) for name, value in one.detail.items()},
        request_id=one.request_id,
        entry=one.entry,
        count=one.count if one.count > 1 else 0,
        until=one.until,
    )
