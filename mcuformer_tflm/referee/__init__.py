"""The same network by another route: stock layers through TFLite's own converter."""
