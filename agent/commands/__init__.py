"""From a hypothesis to a command: pure policy, time passed in."""
