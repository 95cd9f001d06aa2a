"""Which decoders, backends and devices work on this machine, each tried on the spot."""
