"""The demonstration: recordings played through the whole agent, with a broker of its own."""
