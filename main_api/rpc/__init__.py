"""The gRPC face: the client API and the subscription API."""
