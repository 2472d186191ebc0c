"""What operators can say: schema, pronunciations, and the compiled phone graph."""
