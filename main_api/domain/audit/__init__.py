"""The audit log as pure rules: acts, records, the bytes of a chain, what a verification says."""
