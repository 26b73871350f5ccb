// Status -> the error line of RESP.
#pragma once

#include <cstddef>
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

// How much of an argument Redis repeats in an error text.
inline constexpr std::size_t kEchoedBytesMax = 128;
// Returns an argument for an error text of Redis: cut to `bytes_max`, with a space for a line
// break, as in Redis; other non-printing bytes are escaped.
std::string Echo(std::string_view text, std::size_t bytes_max = kEchoedBytesMax);

// Returns the text of the error: "NOKEY partition 'train' has no row 'nope'". REQUIRES:
// !status.ok().
std::string ErrorLine(const Status& status);

// Appends the status as an error: "-NOKEY partition 'train' has no row 'nope'".
// Allocates nothing after Reply::Prepare(). REQUIRES: !status.ok().
void ErrorReply(resp::Reply& reply, const Status& status);

}  // namespace sluice::server
