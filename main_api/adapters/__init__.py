"""KMS, the control store on the shared directory, the way to Processing Workers."""
