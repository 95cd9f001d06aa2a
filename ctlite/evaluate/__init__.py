"""Zero-shot scores, metrics and intervals."""
