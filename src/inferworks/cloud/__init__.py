"""Cloud: offers, routing, the attempts of a call, and the fleet of own replicas."""
