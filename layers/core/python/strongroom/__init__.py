"""The kernel that Main Worker and Processing Worker share (design.md section 1)."""

from typing import Final

VERSION: Final = "0.1.0"
"""Of the whole project; that of pyproject.toml is compared in a test."""
