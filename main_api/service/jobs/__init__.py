"""Jobs over all stored files: who orders them, who runs them, and the backups that they mind."""
