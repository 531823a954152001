"""The gRPC face: translate, call the engine, translate back."""
