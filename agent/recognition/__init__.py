"""From log-probabilities to a hypothesis: decoder, background model, confidence, endpoint."""
