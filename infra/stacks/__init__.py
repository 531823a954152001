"""The stacks of a deployment: keys, network, storage, founding, services, API, monitoring."""
