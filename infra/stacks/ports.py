"""The ports that parts of a deployment meet at, as main_api and processing_fn listen on them."""

from typing import Final

HTTPS: Final = 443
NFS: Final = 2049
CLIENT_GRPC: Final = 50051
SUBSCRIPTION: Final = 50052
PROCESSING: Final = 50061
METRICS = 9464
"""Only within a task, whose containers share its loopback: a collector beside ours may ask."""
