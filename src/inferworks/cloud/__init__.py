"""Where a call runs: offers, the choice between them, the attempt, and the fleet of our own replicas."""
