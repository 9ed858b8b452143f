"""Weight-entangled vision transformers in tf_keras, and the layers they are made of."""
