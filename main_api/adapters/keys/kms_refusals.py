"""What to do about each thing that KMS, or the way to it, may say."""

from typing import Final

_REACH: Final = (
    "check that its endpoint can be reached from here (network, VPC endpoint, AWS_ENDPOINT_URL_KMS)"
)
_LATER: Final = "KMS refuses more requests of this account: start again later, or raise its quota"
_CREDENTIALS: Final = "give this process valid AWS credentials, and check this machine's clock"
_ADVICE: Final = {
    "AccessDeniedException": "allow this role kms:Decrypt and kms:GenerateDataKey on it, in the"
    " role's policy and in the key's",
    "DisabledException": "enable it: aws kms enable-key",
    "KMSInvalidStateException": "it is pending deletion, or not usable yet; before the waiting"
    " period ends: aws kms cancel-key-deletion, then aws kms enable-key",
    "NotFoundException": "check key, account and region in STRONGROOM_KMS_KEY_ARN",
    "ThrottlingException": _LATER,
    "LimitExceededException": _LATER,
    "NoCredentialsError": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "EndpointConnectionError": _REACH,
    "ConnectTimeoutError": _REACH,
    "ConnectionClosedError": _REACH,
    "ReadTimeoutError": _REACH + "; it takes connections and does not answer in time",
}
_OTHER: Final = (
    "check that it is enabled, that this role may use it and that its endpoint can be reached"
)


def advice(code: str) -> str:
    """Return what an operator does next.

    Args:
        code: KMS's error code, or the name of botocore's exception.
    """
    return _ADVICE.get(code, _OTHER)
