"""Pure rules about entities; nothing here reads a file, a clock or a key."""
