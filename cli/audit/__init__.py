"""The subcommands of `strongroom audit`."""
