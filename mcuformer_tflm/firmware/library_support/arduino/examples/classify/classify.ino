// Classifies a grey picture, and prints the class. Fill `image` from your camera: its bytes, each
// minus 128, channels interleaved.
#include <mcuformer.h>

static int8_t image[MCUFORMER_IMAGE_BYTES];
static int8_t logits[MCUFORMER_OUTPUT_BYTES];

void setup() {
  Serial.begin(115200);
  if (!mcuformer_init()) Serial.println(mcuformer_error());
}

void loop() {
  const unsigned long start = millis();
  if (!mcuformer_run(image, logits)) {
    Serial.println(mcuformer_error());
  } else {
    int best = 0;
    for (int i = 1; i < MCUFORMER_OUTPUT_BYTES; ++i) {
      if (logits[i] > logits[best]) best = i;
    }
    Serial.print("class ");
    Serial.print(best);
    Serial.print(" in ms: ");
    Serial.println(millis() - start);
  }
  delay(1000);
}
