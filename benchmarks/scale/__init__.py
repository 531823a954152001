"""What a deployment of 10 to 10,000 workers would do, computed: see `benchmarks.capacity`."""
