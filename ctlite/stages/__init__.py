"""Training stages: batch in, named losses out."""
