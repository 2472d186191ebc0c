"""Voxline: voice control for factory machines."""
