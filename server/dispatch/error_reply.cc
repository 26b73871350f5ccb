#include "server/dispatch/error_reply.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "base/ids.h"

namespace sluice::server {
namespace {

constexpr std::array kPrefixes = {
    ErrorPrefix{Code::kError, "ERR"},
    ErrorPrefix{Code::kNoPartition, "NOPARTITION"},
    ErrorPrefix{Code::kNoKey, "NOKEY"},
    ErrorPrefix{Code::kNoField, "NOFIELD"},
    ErrorPrefix{Code::kNoTask, "NOTASK"},
    ErrorPrefix{Code::kNotReady, "NOTREADY"},
    ErrorPrefix{Code::kDType, "DTYPE"},
    ErrorPrefix{Code::kShape, "SHAPE"},
    ErrorPrefix{Code::kBadTag, "BADTAG"},
    ErrorPrefix{Code::kFull, "FULL"},
    ErrorPrefix{Code::kOom, "OOM"},
    ErrorPrefix{Code::kStale, "STALE"},
    ErrorPrefix{Code::kWrongType, "WRONGTYPE"},
    ErrorPrefix{Code::kNoProto, "NOPROTO"},
    ErrorPrefix{Code::kWrongPass, "WRONGPASS"},
    ErrorPrefix{Code::kNoAuth, "NOAUTH"},
    ErrorPrefix{Code::kDenied, "DENIED"},
    ErrorPrefix{Code::kExecAbort, "EXECABORT"},
    ErrorPrefix{Code::kUnblocked, "UNBLOCKED"},
};

std::string_view PrefixOf(Code code) {
  const auto* const it = std::find_if(kPrefixes.begin(), kPrefixes.end(),
                                      [code](const ErrorPrefix& row) { return row.code == code; });
  assert(it != kPrefixes.end());
  return it->text;
}

}  // namespace

std::span<const ErrorPrefix> ErrorPrefixes() {
  return kPrefixes;
}

std::string Echo(std::string_view text, std::size_t bytes_max) {
  std::string out(text.substr(0, bytes_max));
  for (char& c : out) {
    c = c == '\r' || c == '\n' ? ' ' : c;
  }
  return Printable(out);
}

std::string ErrorLine(const Status& status) {
  return std::string(PrefixOf(status.GetCode())) + " " + status.Message();
}

void ErrorReply(resp::Reply& reply, const Status& status) {
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
