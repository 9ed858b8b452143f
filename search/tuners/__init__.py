"""Who measures what an oracle proposes: keras-tuner tuners over trained supernets."""
