"""`strongroom backup` and `strongroom restore`: copies of a deployment, still encrypted."""
