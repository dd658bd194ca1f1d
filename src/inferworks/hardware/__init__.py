"""What one replica can do: the machine, and the engines that run on it."""
