"""The path of the metrics."""

from contextlib import suppress

from chalice.app import Response

from main_api.rest.application import StrongroomApp
from main_api.rest.operations import Answer, Content, Operation, Right, Tag
from strongroom.errors import StrongroomError


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
                    {"text/plain": Content(None, "strongroom_workers_live 2.0\n")},
                ),
            ),
        ),
    )
    def get_metrics() -> Response:
        """Answer the metrics, to an administrator of every database."""
        # A cold start of Lambda does not pay for what it seldom needs.
        from strongroom.metrics import exposition  # noqa: PLC0415

        app.main.access.require_everywhere(app.caller)
        with suppress(StrongroomError):  # then the figures are of the keyring in use
            app.main.keyring.follow()
        headers = {"Content-Type": exposition.CONTENT_TYPE, "Cache-Control": "no-store"}
        return Response(exposition.text(app.metrics).decode(), dict(headers), 200)
