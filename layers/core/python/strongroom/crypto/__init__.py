"""The cryptographic building blocks, each a thin use of the `cryptography` library."""
