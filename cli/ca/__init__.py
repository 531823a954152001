"""The subcommands of `strongroom ca`."""
