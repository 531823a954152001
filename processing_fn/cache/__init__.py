"""Decrypted documents kept in memory."""
