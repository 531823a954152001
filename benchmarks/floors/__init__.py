"""What a good engineer would write with the libraries alone, each as small as it can be."""
