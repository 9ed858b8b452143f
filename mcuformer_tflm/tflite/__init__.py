"""``.tflite`` files: reading them with care, and writing them with alignment."""
