"""Reports that a model wrote again, held against their source."""
