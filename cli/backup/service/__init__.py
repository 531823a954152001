"""Taking a backup, proving one, and bringing it back; and the ports that this needs."""
