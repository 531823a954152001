"""The keyring's root under AWS KMS, under a key on this machine, and under a recovery key."""
