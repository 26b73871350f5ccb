// Functions that the CLIENT commands share with HELLO.
#pragma once

#include <string_view>

#include "base/status.h"

namespace sluice::server {

// Redis's rule for the names of clients and libraries: printable characters without spaces.
bool IsPlainWord(std::string_view text);
// Errors: kError, with Redis's text.
Status CheckClientName(std::string_view name);

}  // namespace sluice::server
