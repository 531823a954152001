"""What a backup is, and what may be done with one. Pure: nothing here reads or writes."""
