// One argument of a request as commands see it.
#pragma once

#include <string_view>

#include "store/blob.h"

namespace sluice::server {

// `text` is valid while the request runs. A large one (resp::kLargeBulkBytes or more) lies in
// `blob`, which a handler may keep; otherwise `blob` is null.
struct RequestArg {
  std::string_view text;
  store::Blob blob;
};

}  // namespace sluice::server
