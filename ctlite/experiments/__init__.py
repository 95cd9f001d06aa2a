"""The experiments of the paper: which runs answer which question, and what came out."""
