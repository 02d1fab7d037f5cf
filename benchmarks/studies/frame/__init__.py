"""What all studies share: what one is and finds, the runner that goes on after interruptions, the report."""
