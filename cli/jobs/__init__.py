"""`strongroom job`: jobs over all stored files; `commands` names what can be done with them."""
