"""Use cases of the audit log: writing it, reading it, what is recorded of which act."""
