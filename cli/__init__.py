"""The commands, a function a verb; nothing imports this package."""
