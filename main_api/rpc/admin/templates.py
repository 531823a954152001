"""Templates."""

from typing import Final

from main_api.bootstrap import Main
from main_api.domain.caller import Caller
from main_api.service.admin.inspection import Refusal
from strongroom import limits
from strongroom.configuration import Template
from strongroom.errors import BY_CODE
from strongroom.rpc import status
from strongroom_pb.v1 import admin_pb2 as pb


def put_template(
    main: Main, caller: Caller, request: pb.PutTemplateRequest
) -> pb.PutTemplateResponse:
    """Admit a JSON Schema template."""
    made = main.administration.put_template(
        caller, request.schema_id, request.schema, validate_only=request.validate_only
    )
    return pb.PutTemplateResponse(template=_summary(made), created=made.schema_version == 1)


def get_template(main: Main, caller: Caller, request: pb.GetTemplateRequest) -> pb.Template:
    """Return a template."""
    found = main.administration.template(caller, request.schema_id)
    shown = _summary(found)
    shown.schema = bytes(found.schema)
    return shown


def list_templates(
    main: Main, caller: Caller, request: pb.ListTemplatesRequest
) -> pb.ListTemplatesResponse:
    """Return a page of the templates."""
    limit = request.page_size or limits.PAGE_SIZE
    found = main.administration.templates(caller, limit, request.page_token)
    return pb.ListTemplatesResponse(
        templates=map(_summary, found.records),
        next_page_token=found.cursor,
        damaged=found.damaged,
    )


def delete_template(
    main: Main, caller: Caller, request: pb.DeleteTemplateRequest
) -> pb.DeleteTemplateResponse:
    """Delete a template that no database is bound to."""
    main.administration.delete_template(caller, request.schema_id)
    return pb.DeleteTemplateResponse()


def dry_run_template(
    main: Main, caller: Caller, request: pb.DryRunTemplateRequest
) -> pb.DryRunTemplateResponse:
    """Return what a template would refuse of what is stored."""
    found = main.inspection.try_template(
        caller, request.schema_id, request.schema, request.page_token
    )
    return pb.DryRunTemplateResponse(
        template=_summary(found.template),
        examined=found.examined,
        refused=found.refused,
        damaged=found.damaged,
        reasons=found.reasons,
        refusals=map(_refusal, found.refusals),
        next_page_token=found.cursor,
    )


METHODS: Final = (put_template, get_template, list_templates, delete_template, dry_run_template)


def _summary(template: Template) -> pb.Template:
    return pb.Template(
        schema_id=template.schema_id,
        schema_version=template.schema_version,
        created_at=template.created_at,
        updated_at=template.updated_at,
    )


def _refusal(one: Refusal) -> pb.RefusedEntity:
    error = BY_CODE[one.code](one.detail, violations=one.violations)
    return pb.RefusedEntity(
        database=one.database,
        key=one.key,
        version=one.version,
        refusal=status.to_status(error),
    )
