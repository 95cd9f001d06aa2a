"""Who is asked which sentences to keep."""
