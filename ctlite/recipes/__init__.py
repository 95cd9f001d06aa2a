"""Shipped recipes, one TOML a run."""
