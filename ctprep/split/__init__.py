"""Splits of a corpus: by patient and by shared report, drawn once and written down."""
