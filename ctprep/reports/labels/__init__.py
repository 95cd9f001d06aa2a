"""Which abnormalities a report asserts, by rules or by a classifier."""
