"""A whole deployment on one machine: emulated KMS, certificates, and the real processes."""
