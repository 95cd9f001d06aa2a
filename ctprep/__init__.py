"""Sources to stores and tables: everything that happens before training, without torch."""
