"""GAL-Rec."""
