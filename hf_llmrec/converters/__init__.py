"""Converters from the raw files of public data sets to dataset folders: one module per publisher, see `sources`."""
