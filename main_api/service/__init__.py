"""Use cases of the Main Worker and the ports that they need."""
