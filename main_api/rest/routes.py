"""The REST face: one application of the paths that the modules add."""

from main_api.bootstrap import Current
from main_api.rest import (
    audit_routes,
    backup_routes,
    client_routes,
    database_routes,
    document_routes,
    entity_routes,
    entity_write_routes,
    inspection_routes,
    issuer_routes,
    job_routes,
    key_routes,
    metrics_routes,
    oauth_routes,
    schema_routes,
    service_routes,
    worker_routes,
)
from main_api.rest.application import StrongroomApp


def build(current: Current) -> StrongroomApp:
    """Return the application with its routes."""
    app = StrongroomApp("strongroom", current)
    entity_routes.add(app)
    entity_write_routes.add(app)
    schema_routes.add(app)
    database_routes.add(app)
    client_routes.add(app)
    oauth_routes.add(app)
    key_routes.add(app)
    job_routes.add(app)
    backup_routes.add(app)
    audit_routes.add(app)
    worker_routes.add(app)
    issuer_routes.add(app)
    inspection_routes.add(app)
    service_routes.add(app)
    metrics_routes.add(app)
    document_routes.add(app)
    return app
