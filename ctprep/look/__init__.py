"""What lies in a source or a store: told, drawn, counted, and given back in common formats."""
