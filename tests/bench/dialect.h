#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice::bench {

// How a value is put and got: as a byte string, which every program supports, or as the uint8 field
// `x` of a row of partition `p`, which is the server's main purpose.
enum class Dialect { kString, kTensor };

// The request that puts `bytes` bytes under `key`, up to the bytes. CRLF follows them.
std::string PutHead(Dialect dialect, const std::string& key, std::size_t bytes);

// The reply to a put of a key that is new or exists.
std::string_view PutReply(Dialect dialect, bool is_new);

std::string GetRequest(Dialect dialect, const std::string& key);

// The reply to a get, up to the bytes. CRLF follows them.
std::string GetReplyHead(Dialect dialect, std::size_t bytes);

}  // namespace sluice::bench
