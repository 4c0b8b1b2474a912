"""Instance segmentation: from probability maps to label images."""
