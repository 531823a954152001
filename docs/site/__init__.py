"""Makes a site of the documentation; see README.md beside this file."""
