"""What Lambda takes as an answer: its 6 MB are counted after the answer was made JSON text."""

import base64
import json

import pytest
from awslambdaric.lambda_runtime_marshaller import to_json
from chalice.app import Response

from main_api.rest.application import StrongroomApp
from main_api.rest.operations import Operation, Right, Tag
from strongroom import limits
from strongroom.errors import UnavailableError
from tests.support.lambda_sandbox import api_gateway_event
from tests.support.mains import Unbuildable

OPEN = Operation(tag=Tag.SERVICE, rights=(Right.PUBLIC,), answers=())


def _answer(body: str, context: object) -> dict[str, object]:
    app = StrongroomApp("test", Unbuildable(UnavailableError("not built")))

    @app.route("/large", methods=["GET"], operation=OPEN)
    def large() -> Response:
        return Response(body, {"Content-Type": "application/json"}, 200)

    del large
    answer: dict[str, object] = app(api_gateway_event("GET", "/large", resource="/large"), context)
    return answer


@pytest.mark.parametrize("char", ['"', "\\", "\u00e9", "\u20ac", "\U0001f512", "a"])
def test_the_largest_answer_fits_whatever_is_in_it(char: str) -> None:
    """A document with many quotation marks is stored, and can never be read over REST."""
    count = limits.MESSAGE_BYTES_MAX // len(char.encode())
    answer = _answer(char * count, object())
    assert len(to_json(answer).encode()) < limits.LAMBDA_ANSWER_BYTES_MAX
    assert answer["isBase64Encoded"] is True
    assert base64.b64decode(str(answer["body"])).decode() == char * count


@pytest.mark.parametrize("char", ['"', "\U0001f512"])
def test_what_is_sent_as_text_fits_too(char: str) -> None:
    """An answer below the bound is larger as JSON text than Lambda takes."""
    answer = _answer(char * limits.LAMBDA_TEXT_CHARS_MAX, object())
    assert not answer.get("isBase64Encoded")
    assert len(json.dumps(answer).encode()) < limits.LAMBDA_ANSWER_BYTES_MAX


def test_outside_lambda_nothing_is_encoded() -> None:
    """Every large answer is encoded and decoded again, for nothing."""
    assert not _answer("a" * limits.MESSAGE_BYTES_MAX, None).get("isBase64Encoded")
