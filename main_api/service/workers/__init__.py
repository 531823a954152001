"""Processing Workers: how they come into service, and what is known of them since."""
