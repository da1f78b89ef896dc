"""Tables, files, locks and images on disk: one writer and one reader per format."""
