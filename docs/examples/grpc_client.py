"""Put an entity and read it back over gRPC: TLS, and a token from AuthService.

python docs/examples/grpc_client.py --address 127.0.0.1:50051 --ca-file .local/pki/ca.pem
python docs/examples/grpc_client.py --ready-file FILE

FILE is what `strongroom up --ready-file FILE` writes. The credentials are taken from the variables
STRONGROOM_CLIENT_ID and STRONGROOM_CLIENT_SECRET, or else from that file.
"""
# ruff: noqa: INP001, T201 - a script, whose result is what it prints

import argparse
import json
import os
from pathlib import Path

import grpc

from strongroom_pb.v1 import auth_pb2, auth_pb2_grpc, entity_pb2, entity_pb2_grpc

DEADLINE_S = 15.0
CREDENTIALS = ("client_id", "client_secret")


def main() -> None:
    """Do it."""
    arguments = argparse.ArgumentParser(description="Put and get over gRPC.")
    arguments.add_argument("--ready-file", type=Path, help="what `strongroom up` says of itself")
    arguments.add_argument("--address", help="HOST:PORT of gRPC")
    arguments.add_argument("--ca-file", help="PEM of the authority that vouches for the server")
    given = arguments.parse_args()
    facts = json.loads(given.ready_file.read_text()) if given.ready_file else {}  # noqa: TID251
    told = {"grpc_address": given.address, "grpc_ca_file": given.ca_file}
    told |= {name: os.environ.get(f"STRONGROOM_{name.upper()}") for name in CREDENTIALS}
    facts |= {name: value for name, value in told.items() if value}
    if missing := told.keys() - facts.keys():
        arguments.error(f"not given: {', '.join(sorted(missing))}")

    trusted = grpc.ssl_channel_credentials(Path(facts["grpc_ca_file"]).read_bytes())
    with grpc.secure_channel(facts["grpc_address"], trusted) as channel:
        login = auth_pb2.IssueTokenRequest(**{name: facts[name] for name in CREDENTIALS})
        issued = auth_pb2_grpc.AuthServiceStub(channel).IssueToken(login, timeout=DEADLINE_S)
        metadata = (("authorization", f"Bearer {issued.access_token}"),)
        entities = entity_pb2_grpc.EntityServiceStub(channel)

        document = json.dumps({"chat": [{"type": "user", "text": "Hello over gRPC"}]}).encode()
        put = entity_pb2.PutEntityRequest(database="chatdb", key="Chat_grpc", document=document)
        written = entities.PutEntity(put, metadata=metadata, timeout=DEADLINE_S)
        print(f"put {written.key}: version {written.metadata.version}")

        get = entity_pb2.GetEntityRequest(database="chatdb", key="Chat_grpc")
        found = entities.GetEntity(get, metadata=metadata, timeout=DEADLINE_S)
        print(f"got {found.key}: {found.document.decode()}")


if __name__ == "__main__":
    main()
