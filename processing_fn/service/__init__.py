"""Use cases of the Processing Worker and the ports that they need."""
