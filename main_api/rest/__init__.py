"""The REST face: a Chalice app, on Lambda and behind granian alike."""
