// libsluice_torch.so: the only code that knows libtorch. Exceptions end here.
#include <cstring>
#include <exception>
#include <optional>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/csrc/api/include/torch/version.h>

#include "store/dtype.h"
#include "store/torch/torch_api.h"

namespace {

using sluice::store::DType;

std::optional<at::ScalarType> ScalarTypeOf(SluiceDType dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::kFloat16:
      return at::kHalf;
    case DType::kBFloat16:
      return at::kBFloat16;
    case DType::kFloat8E4M3FN:
      return at::kFloat8_e4m3fn;
    case DType::kFloat8E5M2:
      return at::kFloat8_e5m2;
    default:
      return std::nullopt;
  }
}

int Cast(const void* src, at::ScalarType from, int64_t count, at::ScalarType to, void* dst) {
  try {
    at::Tensor input = at::empty({count}, at::TensorOptions().dtype(from));
    std::memcpy(input.data_ptr(), src, input.nbytes());
    const at::Tensor output = input.to(to);
    std::memcpy(dst, output.const_data_ptr(), output.nbytes());
    return 0;
  } catch (const std::exception&) {
    return -1;
  }
}

int ToFloat32(SluiceDType dtype, const void* src, int64_t count, float* dst) {
  const auto type = ScalarTypeOf(dtype);
  return type ? Cast(src, *type, count, at::kFloat, dst) : -1;
}

int FromFloat32(SluiceDType dtype, const float* src, int64_t count, void* dst) {
  const auto type = ScalarTypeOf(dtype);
  return type ? Cast(src, at::kFloat, count, *type, dst) : -1;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const SluiceTorchApi* sluice_torch_api() {
  static const SluiceTorchApi kApi = {.abi_version = kSluiceTorchAbiVersion,
                                      .torch_version = TORCH_VERSION,
                                      .to_float32 = ToFloat32,
                                      .from_float32 = FromFloat32};
  at::set_num_threads(1);  // before anything computes: our threads are enough
  return &kApi;
}
