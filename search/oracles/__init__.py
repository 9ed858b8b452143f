"""Who decides what is tried next: pure state machines behind keras-tuner's Oracle."""
