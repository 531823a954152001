"""The figures, each with its floor."""
