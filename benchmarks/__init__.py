"""Times of this package beside those of its peers."""
