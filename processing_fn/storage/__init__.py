"""The shared directory as the worker sees it: entity files, locks, configuration files."""
