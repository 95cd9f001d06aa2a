"""How a radiologist judges filtered reports, and how far two filters agree."""
