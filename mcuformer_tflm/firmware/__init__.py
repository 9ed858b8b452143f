"""Ahead-of-time firmware: a model as a C++ project for a board, without an interpreter."""
