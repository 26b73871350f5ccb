// Status -> the error line of RESP.
#pragma once

#include <string_view>

#include "resp/reply.h"
#include "store/status.h"

namespace sluice::server {

// "ERR", "NOKEY", ...: the first word of the error for this code. REQUIRES: code != kOk.
std::string_view PrefixOf(store::Code code);

// Appends the status as an error: "-NOKEY partition 'train' has no row 'nope'".
// Allocates nothing after Reply::Prepare(). REQUIRES: !status.ok().
void ErrorReply(resp::Reply& reply, const store::Status& status);

}  // namespace sluice::server
