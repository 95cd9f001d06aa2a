"""What tells of a person in a report."""
