"""What the pipeline is measured against, each as one would write it who knows its parts."""
