#include "server/error_reply.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace sluice::server {
namespace {

using store::Code;

struct Prefix {
  Code code;
  std::string_view text;
};

constexpr std::array kPrefixes = {
    Prefix{Code::kError, "ERR"},
    Prefix{Code::kNoPartition, "NOPARTITION"},
    Prefix{Code::kNoKey, "NOKEY"},
    Prefix{Code::kNoField, "NOFIELD"},
    Prefix{Code::kNoTask, "NOTASK"},
    Prefix{Code::kNotReady, "NOTREADY"},
    Prefix{Code::kDType, "DTYPE"},
    Prefix{Code::kShape, "SHAPE"},
    Prefix{Code::kBadTag, "BADTAG"},
    Prefix{Code::kFull, "FULL"},
    Prefix{Code::kOom, "OOM"},
    Prefix{Code::kWrongType, "WRONGTYPE"},
    Prefix{Code::kNoProto, "NOPROTO"},
    Prefix{Code::kWrongPass, "WRONGPASS"},
    Prefix{Code::kNoAuth, "NOAUTH"},
    Prefix{Code::kDenied, "DENIED"},
    Prefix{Code::kExecAbort, "EXECABORT"},
};

}  // namespace

std::string_view PrefixOf(Code code) {
  const auto* const it = std::find_if(kPrefixes.begin(), kPrefixes.end(),
                                      [code](const Prefix& row) { return row.code == code; });
  assert(it != kPrefixes.end());
  return it->text;
}

void ErrorReply(resp::Reply& reply, const store::Status& status) {
  assert(!status.ok());
  std::array<char, resp::Reply::kErrorBytesMax>
      line;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::size_t size = 0;
  const auto append = [&line, &size](std::string_view text) {
    const std::size_t part = std::min(text.size(), line.size() - size);
    std::memcpy(line.data() + size, text.data(), part);
    size += part;
  };
  append(PrefixOf(status.GetCode()));
  append(" ");
  append(status.Message());
  reply.Error({line.data(), size});
}

}  // namespace sluice::server
