#include "store/tensor/torch/loader.h"

#include <filesystem>

#include <dlfcn.h>
#include <fmt/format.h>

namespace sluice::store {
namespace {

struct Loaded {
  const SluiceTorchApi* api = nullptr;
  std::string why_not;
};

// The module is never unloaded: libtorch does not support that.
Loaded LoadFrom(const std::string& path) {
  void* const module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    return {.api = nullptr, .why_not = dlerror()};
  }
  const auto entry =
      reinterpret_cast<const SluiceTorchApi* (*)()>(dlsym(module, kSluiceTorchSymbol));
  const SluiceTorchApi* const api = entry == nullptr ? nullptr : entry();
  if (api == nullptr || api->abi_version != kSluiceTorchAbiVersion) {
    return {.api = nullptr, .why_not = fmt::format("{} is from another version of Sluice", path)};
  }
  return {.api = api, .why_not = {}};
}

Loaded LoadFirst(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    std::error_code error;
    if (std::filesystem::exists(path, error)) {
      return LoadFrom(path);
    }
  }
  return {.api = nullptr, .why_not = fmt::format("not found: {}", fmt::join(paths, ", "))};
}

}  // namespace

const SluiceTorchApi* TorchLoader::Get(std::string* why_not) {
  std::call_once(once_, [this] {
    Loaded loaded = LoadFirst(paths_);
    api_ = loaded.api;
    why_not_ = std::move(loaded.why_not);
  });
  if (api_ == nullptr) {
    *why_not = why_not_;
  }
  return api_;
}

}  // namespace sluice::store
