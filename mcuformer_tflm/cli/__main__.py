"""``python -m mcuformer_tflm.cli``."""

from mcuformer_tflm.cli.application import main

main()
