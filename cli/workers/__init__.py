"""The subcommands of `strongroom worker`."""
