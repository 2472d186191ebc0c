"""What the agent knows about itself."""
