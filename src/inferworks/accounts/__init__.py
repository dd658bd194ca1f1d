"""Who calls, what for, and at what price: customers, keys and price plans."""
