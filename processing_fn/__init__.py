"""The Processing Worker: a gRPC server that keeps encrypted JSON on the shared directory."""
