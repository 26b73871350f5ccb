// Status -> the error line of RESP.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "resp/reply.h"

namespace sluice::server {

struct ErrorPrefix {
  Code code;
  std::string_view text;  // "ERR", "NOKEY", ...: the first word of the error
};
// One for each code except kOk.
std::span<const ErrorPrefix> ErrorPrefixes();

// Returns the text of the error: "NOKEY partition 'train' has no row 'nope'". REQUIRES:
// !status.ok().
std::string ErrorLine(const Status& status);

// Appends the status as an error: "-NOKEY partition 'train' has no row 'nope'".
// Allocates nothing after Reply::Prepare(). REQUIRES: !status.ok().
void ErrorReply(resp::Reply& reply, const Status& status);

}  // namespace sluice::server
