"""Text encoder: items and histories by their texts alone, so that items that nobody bought are found, too."""
