"""Synthetic chest CT with known findings, written as the formats of real archives."""
