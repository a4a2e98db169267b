"""Raw files of public data sets -> dataset folders. One module per publisher; `sources.py` lists all."""
