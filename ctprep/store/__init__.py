"""The door between the packages: store layout, codecs, tables and errors that both sides agree on."""
