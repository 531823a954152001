"""Where backups lie, where they are taken from, and what opens them."""
