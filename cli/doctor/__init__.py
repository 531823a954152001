"""`strongroom doctor`: whether a shared directory and a machine are fit for a deployment."""
