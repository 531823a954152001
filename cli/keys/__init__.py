"""`strongroom keys`: a package, one module per command; `commands` names them."""
