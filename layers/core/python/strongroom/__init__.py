"""The kernel that Main Worker and Processing Worker share (design.md section 1)."""
