"""REST: a codec without input or output, and two channels that carry what it makes."""
