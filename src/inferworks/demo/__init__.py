"""The main job in one command: a real platform, real calls, real training; bills made up for the span."""
