"""Hardware: the machine of one replica, and the engines that run on it."""
