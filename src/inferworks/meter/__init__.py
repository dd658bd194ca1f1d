"""Facts of what happened, exactly once: usage, capacity, steps and activity, in a durable journal."""
