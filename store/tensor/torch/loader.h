// TorchLoader: loads libsluice_torch.so at its first use. libtorch takes 0.7 s and 100 MB, which a
// server that never prints a half-precision float does not need.
//
// Thread safety: any thread.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "store/tensor/torch_api.h"

namespace sluice::store {

class TorchLoader {
 public:
  // Loads the first of `paths` that exists.
  explicit TorchLoader(std::vector<std::string> paths) : paths_(std::move(paths)) {}
  TorchLoader(const TorchLoader&) = delete;
  TorchLoader& operator=(const TorchLoader&) = delete;

  // The first call loads the module; concurrent calls wait for it. Returns null if the module is
  // not available, and sets `why_not` to the reason.
  const SluiceTorchApi* Get(std::string* why_not);

 private:
  const std::vector<std::string> paths_;
  std::once_flag once_;
  const SluiceTorchApi* api_ = nullptr;
  std::string why_not_;
};

}  // namespace sluice::store
