"""Backups in a bucket of S3, below a prefix."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from strongroom import limits
from strongroom.errors import IntegrityError, InvalidArgumentError, UnavailableError

SCHEME: Final = "s3://"
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Store:
    """The `Store` of a bucket. An object is whole once S3 has answered: nothing has to settle."""

    def __init__(self, url: str, names_per_page: int = 1_000) -> None:
        """Take `s3://bucket/prefix`; credentials and region are boto3's to find.

        Raises:
            InvalidArgumentError: It is not such an address, or there is no region.
        """
        self._bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        self._names_per_page = names_per_page
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if not url.startswith(SCHEME) or not self._bucket:
            raise InvalidArgumentError(f"{url} is not an address like s3://bucket/prefix")
        config = Config(
            retries={"mode": "standard", "max_attempts": 5},
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=2 * limits.BACKUP_THREADS,
        )
        try:
            self._s3: Any = boto3.client("s3", config=config)
        except (BotoCoreError, ValueError) as error:
            raise InvalidArgumentError(f"S3 cannot be asked: {error}") from error

    def read(self, name: str, size_max: int) -> bytes | None:
        """Get an object."""
        with self._refusals():
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if _is_absent(error):
                    return None
                raise
            with answer["Body"] as body:
                raw: bytes = body.read(size_max + 1)
        if len(raw) > size_max:
            raise IntegrityError(f"{name} in the backup is larger than what belongs there")
        return raw

    def has(self, name: str, size: int) -> bool:
        """Ask for an object's size."""
        with self._refusals():
            try:
                found = self._s3.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if _is_absent(error):
                    return False
                raise
        return bool(found["ContentLength"] == size)

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        with self._refusals():
            self._s3.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)

    def remove(self, name: str) -> None:
        """Delete an object; S3 says nothing of one that is not there."""
        with self._refusals():
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def settle(self) -> None:
        """Do nothing."""

    def names(self, folder: str) -> Iterator[str]:
        """List the objects of a folder, a page after the other."""
        prefix = f"{self._prefix}{folder}/"
        pages = self._s3.get_paginator("list_objects_v2")
        with self._refusals():
            for page in pages.paginate(
                Bucket=self._bucket,
                Prefix=prefix,
                PaginationConfig={"PageSize": self._names_per_page},
            ):
                for found in page.get("Contents", ()):
                    yield str(found["Key"]).removeprefix(prefix)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise UnavailableError(f"{SCHEME}{self._bucket}: {error}") from error


def _is_absent(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = error.response.get("Error", {}).get("Code")
    return status == HTTPStatus.NOT_FOUND and code in _ABSENT
