"""LC-Rec."""
