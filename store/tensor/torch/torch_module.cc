// libsluice_torch.so: the only code that uses libtorch. No exception leaves it.
#include <algorithm>
#include <cstring>
#include <exception>
#include <optional>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/csrc/api/include/torch/version.h>

#include "store/tensor/dtype.h"
#include "store/tensor/torch_api.h"

namespace {

using sluice::store::DType;

std::optional<at::ScalarType> ScalarTypeOf(SluiceDType dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::kBool:
      return at::kBool;
    case DType::kUint8:
      return at::kByte;
    case DType::kInt8:
      return at::kChar;
    case DType::kInt16:
      return at::kShort;
    case DType::kInt32:
      return at::kInt;
    case DType::kInt64:
      return at::kLong;
    case DType::kFloat32:
      return at::kFloat;
    case DType::kFloat64:
      return at::kDouble;
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

bool IsSmallFloat(SluiceDType dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::kFloat16:
    case DType::kBFloat16:
    case DType::kFloat8E4M3FN:
    case DType::kFloat8E5M2:
      return true;
    default:
      return false;
  }
}

int ToFloat32(SluiceDType dtype, const void* src, int64_t count, float* dst) {
  const auto type = IsSmallFloat(dtype) ? ScalarTypeOf(dtype) : std::nullopt;
  return type ? Cast(src, *type, count, at::kFloat, dst) : -1;
}

int FromFloat32(SluiceDType dtype, const float* src, int64_t count, void* dst) {
  const auto type = IsSmallFloat(dtype) ? ScalarTypeOf(dtype) : std::nullopt;
  return type ? Cast(src, at::kFloat, count, *type, dst) : -1;
}

// Accumulates the minimum, sum and maximum of a slice.
void AddSlice(const at::Tensor& slice, bool first, SluiceTorchStats& stats) {
  if (stats.integer != 0) {
    const at::Tensor wide = slice.to(at::kLong);
    const auto low = wide.min().item<int64_t>();
    const auto high = wide.max().item<int64_t>();
    stats.int_min = first ? low : std::min(stats.int_min, low);
    stats.int_max = first ? high : std::max(stats.int_max, high);
  } else {
    const at::Tensor wide = slice.to(at::kDouble);  // as in PyTorch, min and max propagate NaN
    const at::Tensor low = at::scalar_tensor(stats.min, at::kDouble);
    const at::Tensor high = at::scalar_tensor(stats.max, at::kDouble);
    stats.min = first ? wide.min().item<double>() : at::minimum(low, wide.min()).item<double>();
    stats.max = first ? wide.max().item<double>() : at::maximum(high, wide.max()).item<double>();
  }
  stats.mean += slice.to(at::kDouble).sum().item<double>();
}

// Works in slices, so that a large tensor is not copied as a whole.
int Stats(SluiceDType dtype, const void* src, int64_t count, SluiceTorchStats* stats) {
  constexpr int64_t kSlice = int64_t{1} << 18;
  const auto type = ScalarTypeOf(dtype);
  if (!type || count <= 0) {
    return -1;
  }
  try {
    *stats = {};
    stats->integer = at::isIntegralType(*type, /*includeBool=*/true) ? 1 : 0;
    const char* from = static_cast<const char*>(src);
    for (int64_t at_element = 0; at_element < count; at_element += kSlice) {
      at::Tensor slice =
          at::empty({std::min(kSlice, count - at_element)}, at::TensorOptions().dtype(*type));
      std::memcpy(slice.data_ptr(), from, slice.nbytes());
      from += slice.nbytes();
      AddSlice(slice, at_element == 0, *stats);
    }
    stats->mean /= static_cast<double>(count);
    return 0;
  } catch (const std::exception&) {
    return -1;
  }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const SluiceTorchApi* sluice_torch_api() {
  static const SluiceTorchApi kApi = {.abi_version = kSluiceTorchAbiVersion,
                                      .torch_version = TORCH_VERSION,
                                      .to_float32 = ToFloat32,
                                      .from_float32 = FromFloat32,
                                      .stats = Stats};
  at::set_num_threads(1);  // before any computation: the server has its own threads
  return &kApi;
}
