"""`strongroom demo`: a deployment of its own, walked through step by step with what it shows."""
