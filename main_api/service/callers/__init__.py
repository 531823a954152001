"""Who calls, and may they: tokens, secrets, and those who have failed too often."""
