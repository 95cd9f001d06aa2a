"""Raw radiology reports to the filtered report table."""
