"""The stacks of a deployment: network, data, services, API, monitoring, in this order."""
