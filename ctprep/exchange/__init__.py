"""A corpus told to other programs: a MONAI datalist, a Croissant description."""
