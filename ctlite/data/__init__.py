"""Either store and the report table to batches of tensors."""
