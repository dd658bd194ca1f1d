"""What would happen: workloads, and later what it would take to serve them."""
