"""The subcommands of `strongroom workers`."""
