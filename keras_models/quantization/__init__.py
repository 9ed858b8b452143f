"""How real numbers become integers: widths, ranges, scales, and TF-MOT's quantizers."""
