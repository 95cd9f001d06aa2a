"""Stores and tables to checkpoints and scores: everything from the loader on, without DICOM."""
