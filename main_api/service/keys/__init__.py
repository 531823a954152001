"""Use cases around keys: the keyring in use, rotation, exports, recovery, the provider's health."""
