"""The least that a Lambda of this kind does before it can answer: see the figure of that name."""

import base64
import os
from pathlib import Path
from typing import Any

import aws_encryption_sdk
import boto3  # noqa: F401 - for what its import takes
import chalice  # noqa: F401 - for what its import takes
import grpc
from aws_encryption_sdk.identifiers import CommitmentPolicy


def handler(event: dict[str, Any], _: object) -> dict[str, Any]:
    """Open the root, connect to the worker, answer."""
    client = aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )
    keys = aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(
        key_ids=[os.environ["STRONGROOM_KMS_KEY_ARN"]]
    )
    root, _header = client.decrypt(source=base64.b64decode(event["root"]), key_provider=keys)
    channel = grpc.secure_channel(
        event["address"],
        grpc.ssl_channel_credentials(
            *(
                Path(os.environ[f"STRONGROOM_{name}_FILE"]).read_bytes()
                for name in ("CA", "KEY", "CERTIFICATE")
            )
        ),
        options=[("grpc.ssl_target_name_override", event["server_name"])],
    )
    grpc.channel_ready_future(channel).result(10)
    return {"statusCode": 200, "body": str(len(root))}
