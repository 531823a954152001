"""What both workers need of gRPC: errors as statuses, mutual TLS, channel options."""
