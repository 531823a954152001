"""What a user would pick instead, measured beside Strongroom on the same documents."""
