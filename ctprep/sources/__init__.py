"""One file a format: what lies in an archive, as volumes in HU."""
