"""From one page to the next."""

from dataclasses import replace

from strongroom_client.calls import ReadPage
from strongroom_client.errors import ServerError
from strongroom_client.values import Page


def following(asked: ReadPage, page: Page) -> ReadPage | None:
    """Return what asks for the next page; None after the last one.

    Raises:
        ServerError: The cursor is the one that was asked with, which would never end.
    """
    if not page.cursor:
        return None
    if page.cursor == asked.cursor:
        raise ServerError("the server answers a page with the cursor that it was asked with")
    return replace(asked, cursor=page.cursor)
