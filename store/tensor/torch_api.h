// The interface of libsluice_torch.so: a table of C functions, so that the server needs no header
// and no symbol of libtorch, and runs without libtorch.
//
// Thread safety: any thread.
#pragma once

#include <stdint.h>

// A value of store::DType.
using SluiceDType = uint8_t;

// Statistics of `count` > 0 elements. If any element is NaN, min, mean and max are NaN.
struct SluiceTorchStats {
  double min;
  double mean;
  double max;
  int64_t int_min;  // exact min and max of integers and bools, if `integer` is 1
  int64_t int_max;
  int integer;
};

// to_float32 and from_float32 convert `count` elements of float16, bfloat16, float8_e4m3fn or
// float8_e5m2. src and dst need no alignment. from_float32 rounds as PyTorch does: to nearest, ties
// to even; out of range becomes inf, or NaN if the dtype has no inf (float8_e4m3fn). Both return 0,
// or -1 for another dtype or if libtorch failed. On -1 nothing is written.
struct SluiceTorchApi {
  uint32_t abi_version;       // kSluiceTorchAbiVersion
  const char* torch_version;  // "2.13.0"
  int (*to_float32)(SluiceDType dtype, const void* src, int64_t count, float* dst);
  int (*from_float32)(SluiceDType dtype, const float* src, int64_t count, void* dst);
  // For all dtypes except the byte strings. src needs no alignment. Returns 0, or -1 on failure.
  int (*stats)(SluiceDType dtype, const void* src, int64_t count, SluiceTorchStats* stats);
};

inline constexpr uint32_t kSluiceTorchAbiVersion = 2;

// The symbol that the module exports: `extern "C" const SluiceTorchApi* sluice_torch_api()`.
inline constexpr char kSluiceTorchSymbol[] = "sluice_torch_api";
