// What the CLIENT family shares with HELLO.
#pragma once

#include <string_view>

#include "base/status.h"

namespace sluice::server {

// Redis's rule for names of clients and libraries: what prints and is no space.
bool IsPlainWord(std::string_view text);
// Errors: kError, with Redis's text.
Status CheckClientName(std::string_view name);

}  // namespace sluice::server
