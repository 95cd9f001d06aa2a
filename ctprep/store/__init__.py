"""The door between the packages: store layout, codecs, tables and errors both sides agree on."""
