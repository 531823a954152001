"""Pure rules: grants, placement, the registry of workers."""
