"""Labelled images: arrays, folders of class folders, Fashion-MNIST, TensorFlow Datasets."""
