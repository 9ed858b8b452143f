#!/usr/bin/env bash
# Builds an application with Debian's Bazel that takes our operators' kernels as its one dependency, and
# runs it. Bazel's own rules are on GitHub, which need not be reachable: rules_cc has a stand-in of the
# native rules that it wraps. What needs TFLM's tree is not built here.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
scripts/install_packages.sh bazel-bootstrap bazel-rules-java bazel-rules-proto bazel-skylib
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
mkdir -p "$work/rules_cc/cc" "$work/application"
echo 'workspace(name = "rules_cc")' >"$work/rules_cc/WORKSPACE"
touch "$work/rules_cc/cc/BUILD"
for rule in cc_binary cc_import cc_library cc_proto_library cc_test cc_toolchain cc_toolchain_suite \
  objc_import objc_library; do
  echo "$rule = native.$rule"
done >"$work/rules_cc/cc/defs.bzl"
cd "$work/application"
cat >WORKSPACE <<END
workspace(name = "application")
local_repository(name = "mcuformer_tflm", path = "$here")
END
cat >BUILD <<'END'
cc_binary(name = "application", srcs = ["application.cc"], deps = ["@mcuformer_tflm//:kernels"])
END
cat >application.cc <<'END'
#include <cstdint>
#include <cstdio>

#include "kernels/integer_sqrt.h"

int main() {
  std::printf("%d\n", static_cast<int>(mcuformer::IntegerSqrt(1u << 30, mcuformer::kSqrtUntilFixed)));
}
END
rules=/usr/share/bazel/rules
bazel --batch --output_user_root="$work/bazel" build \
  --override_repository=rules_cc="$work/rules_cc" \
  --override_repository=rules_java="$rules/java" --override_repository=rules_proto="$rules/proto" \
  //:application >"$work/log" 2>&1 || { grep -v linux-sandbox "$work/log" | tail -n 20 >&2; exit 1; }
[[ $(bazel-bin/application) == 32768 ]] || { echo "The application gave another number." >&2; exit 1; }
echo "Built with $(bazel --version), kernels as the one dependency."
