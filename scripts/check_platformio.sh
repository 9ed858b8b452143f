#!/usr/bin/env bash
# Builds an application with PlatformIO that takes a model as a library (`mcuformer firmware --form arduino`).
# PlatformIO's registry need not be reachable: its SCons is PyPI's, and its platform is one written here,
# a Cortex-M4 by Debian's cross compiler, without a framework. Nothing runs.
set -euo pipefail
cd "$(dirname "$0")/.."
mcuformer=$PWD/.venv/bin/mcuformer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PLATFORMIO_CORE_DIR=$work/core PLATFORMIO_SETTING_ENABLE_TELEMETRY=no
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet platformio==6.2.0
scons=$PLATFORMIO_CORE_DIR/packages/tool-scons
"$work/venv/bin/pip" install --quiet --target "$scons" scons==4.11.1
echo '{"name": "tool-scons", "version": "4.41101.0"}' >"$scons/package.json"
cat >"$scons/.piopm" <<'END'
{"type": "tool", "name": "tool-scons", "version": "4.41101.0",
 "spec": {"owner": "platformio", "id": null, "name": "tool-scons", "requirements": null, "uri": null}}
END
printf 'import sys\nsys.path.insert(0, sys.path[0])\nfrom SCons.Script import main\nmain()\n' >"$scons/scons.py"

platform=$work/debian
mkdir -p "$platform/builder" "$platform/boards"
cat >"$platform/platform.json" <<'END'
{"name": "debian", "version": "1.0.0", "title": "Debian", "description": "Its cross compiler", "packages": {}}
END
cat >"$platform/platform.py" <<'END'
from platformio.public import PlatformBase


class DebianPlatform(PlatformBase):
    pass
END
cat >"$platform/boards/cortex_m4.json" <<'END'
{"name": "Cortex-M4", "vendor": "none", "url": "none", "frameworks": [], "build": {"mcu": "cortex-m4"},
 "upload": {"maximum_size": 2097152, "maximum_ram_size": 196608}}
END
cat >"$platform/builder/main.py" <<'END'
from SCons.Script import Default, DefaultEnvironment

env = DefaultEnvironment()
core = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
for name, tool in {"AR": "gcc-ar", "RANLIB": "gcc-ranlib", "AS": "gcc", "CC": "gcc", "CXX": "g++", "LINK": "g++",
                   "SIZETOOL": "size"}.items():
    env.Replace(**{name: "arm-none-eabi-" + tool})
env.Replace(ARFLAGS=["rc"], PROGSUFFIX=".elf")
env.Append(
    ASFLAGS=core, CCFLAGS=core + ["-Os"], CXXFLAGS=["-std=gnu++17", "-fno-exceptions", "-fno-rtti"],
    LINKFLAGS=core + ["--specs=nosys.specs", "--specs=nano.specs", "-Wl,--gc-sections"],
)
Default(env.BuildProgram())
END

application=$work/application
mkdir -p "$application/src" "$application/lib"
printf '[env:cortex_m4]\nplatform = file://%s\nboard = cortex_m4\n' "$platform" >"$application/platformio.ini"
cat >"$application/src/main.cpp" <<'END'
#include <mcuformer.h>

static int8_t image[MCUFORMER_IMAGE_BYTES], logits[MCUFORMER_OUTPUT_BYTES];

int main() { return mcuformer_init() && mcuformer_run(image, logits) ? logits[0] : 1; }
END
"$mcuformer" zoo save fashion_mnist_16k "$work/model.tflite" >/dev/null
"$mcuformer" firmware "$work/model.tflite" --form arduino --out "$application/lib/mcuformer_model" >/dev/null
"$work/venv/bin/pio" run --project-dir "$application" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
arm-none-eabi-nm "$application/.pio/build/cortex_m4/program.elf" | grep -q ' T mcuformer_run$' \
  || { echo "The program has no mcuformer_run." >&2; exit 1; }
echo "Built with $("$work/venv/bin/pio" --version), the model as a library."
