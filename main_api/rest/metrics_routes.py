"""The path of the metrics."""

from chalice.app import Response

from main_api.rest.application import StrongroomApp
from main_api.rest.operations import Answer, Content, Operation, Right, Tag
from strongroom.clock import SystemClock


def add(app: StrongroomApp) -> None:
    """Register the path."""

    @app.route(
        "/metrics",
        methods=["GET"],
        operation=Operation(
            tag=Tag.SERVICE,
            rights=(Right.EVERYWHERE,),
            answers=(
                Answer(
                    200,
                    "In the text format of Prometheus.",
                    {"text/plain": Content(None, "strongroom_workers 2\n")},
                ),
            ),
        ),
    )
    def get_metrics() -> Response:
        """Answer the metrics, to an administrator of every database."""
        # A cold start of Lambda does not pay for what it seldom needs.
        from main_api.rest import metrics as exposed  # noqa: PLC0415

        app.main.access.require_everywhere(app.caller)
        headers = {"Content-Type": exposed.CONTENT_TYPE, "Cache-Control": "no-store"}
        text = exposed.exposition(app.main, SystemClock()).decode()
        return Response(text, dict(headers), 200)
