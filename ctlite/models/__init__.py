"""The networks: image encoder, projections, text encoder and their assembly."""
