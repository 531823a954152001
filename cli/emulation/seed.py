"""What a fresh local deployment has in it: a template for chats and a database of them."""

from typing import Final

from main_api.service.admin.provisioning import Provisioning

TEMPLATE: Final = "chat.v1"
DATABASE: Final = "chatdb"

_CHAT: Final = b"""{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "A conversation",
  "type": "object",
  "required": ["chat"],
  "properties": {
    "chat": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["type", "text"],
        "properties": {
          "type": {"description": "Who speaks", "type": "string", "minLength": 1},
          "text": {"description": "What is said", "type": "string"}
        }
      }
    }
  }
}"""


def seed(provisioning: Provisioning) -> None:
    """Make template and database where they are missing."""
    provisioning.ensure_template(TEMPLATE, _CHAT)
    provisioning.ensure_database(DATABASE, TEMPLATE)
