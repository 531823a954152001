"""What a process counts and measures of itself, by a catalogue, and how others read it."""
