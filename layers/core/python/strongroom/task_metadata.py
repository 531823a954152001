"""Who a task of Amazon ECS is: the name and the address that nobody could tell it beforehand.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
"""

import http.client
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from strongroom import limits
from strongroom.errors import UnavailableError

VARIABLE: Final = "ECS_CONTAINER_METADATA_URI_V4"
_ANSWER_S: Final = 2.0


class _Network(msgspec.Struct, frozen=True):
    addresses: list[str] = msgspec.field(name="IPv4Addresses", default_factory=list)


class _Container(msgspec.Struct, frozen=True):
    networks: list[_Network] = msgspec.field(name="Networks", default_factory=list)


class _Task(msgspec.Struct, frozen=True):
    arn: str = msgspec.field(name="TaskARN")
    containers: list[_Container] = msgspec.field(name="Containers", default_factory=list)


@dataclass(frozen=True, slots=True)
class Task:
    """What a task knows of itself: its id, and its address in the network."""

    task_id: str
    address: str


def environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment, with what is missing in it of a worker's name and address.

    Raises:
        UnavailableError: This is a task of ECS, which does not tell who it is.
    """
    completed = dict(given)
    if VARIABLE in given and not given.get("STRONGROOM_WORKER_ID"):
        task = read(given[VARIABLE])
        completed["STRONGROOM_WORKER_ID"] = f"task-{task.task_id}"
        completed.setdefault("STRONGROOM_ADVERTISE_HOST", task.address)
    return completed


def read(url: str) -> Task:
    """Ask.

    Raises:
        UnavailableError: There is no answer, or not one that can be read.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_ANSWER_S)
    try:
        connection.request("GET", f"{parts.path}/task")
        body = connection.getresponse().read(limits.CONFIG_FILE_BYTES_MAX)
        told = msgspec.json.decode(body, type=_Task)
        addresses = [a for c in told.containers for n in c.networks for a in n.addresses]
        return Task(told.arn.rpartition("/")[2], addresses[0])
    except (OSError, http.client.HTTPException, msgspec.MsgspecError, IndexError) as error:
        raise UnavailableError(f"the task's metadata cannot be read ({url})") from error
    finally:
        connection.close()
