// The .tflite as it is, where TFLM reads it: 16-byte aligned, in flash.
.section .mcuformer.constants, "a", %progbits
.balign 16
.global mcuformer_model
.global mcuformer_model_end
mcuformer_model: .incbin MCUFORMER_MODEL
mcuformer_model_end:
// No executable stack.
.section .note.GNU-stack, "", %progbits
