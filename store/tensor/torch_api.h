// What libsluice_torch.so offers: a table of C functions, so that the server needs no header and no
// symbol of libtorch, and runs without it.
//
// Thread safety: any thread.
#pragma once

#include <stdint.h>

// As store::DType numbers them.
using SluiceDType = uint8_t;

// Of `count` > 0 elements. A NaN among them makes min, mean and max NaN.
struct SluiceTorchStats {
  double min;
  double mean;
  double max;
  int64_t int_min;  // these, exact, of integers and bools: `integer` is 1 then
  int64_t int_max;
  int integer;
};

// float16, bfloat16, float8_e4m3fn and float8_e5m2 to and from float32. `count` elements each; src
// and dst need no alignment. from_float32 rounds as torch does: to nearest, ties to even; past the
// range it gives inf, or NaN where the dtype has no inf (float8_e4m3fn). Both return 0, or -1 for
// another dtype or where libtorch failed: then nothing was written.
struct SluiceTorchApi {
  uint32_t abi_version;       // kSluiceTorchAbiVersion
  const char* torch_version;  // "2.13.0"
  int (*to_float32)(SluiceDType dtype, const void* src, int64_t count, float* dst);
  int (*from_float32)(SluiceDType dtype, const float* src, int64_t count, void* dst);
  // Of any dtype but the byte strings; src needs no alignment. 0, or -1.
  int (*stats)(SluiceDType dtype, const void* src, int64_t count, SluiceTorchStats* stats);
};

inline constexpr uint32_t kSluiceTorchAbiVersion = 2;

// The symbol that the module exports: `extern "C" const SluiceTorchApi* sluice_torch_api()`.
inline constexpr char kSluiceTorchSymbol[] = "sluice_torch_api";
