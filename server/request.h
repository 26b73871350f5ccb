// One argument of a request as commands see it, and a request that is kept.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "store/blob.h"

namespace sluice::server {

// `text` is valid while the request runs. A large one (resp::kLargeBulkBytes or more) lies in
// `blob`, which a handler may keep; otherwise `blob` is null.
struct RequestArg {
  std::string_view text;
  store::Blob blob;
};

// A request that outlives the bytes it came in: one that waits (BLOCK), or stands in a transaction.
class KeptRequest {
 public:
  // Errors: std::bad_alloc.
  explicit KeptRequest(std::span<const RequestArg> request)
      : args_(request.begin(), request.end()) {
    for (const RequestArg& arg : args_) {
      bytes_ += arg.blob.IsNull() ? arg.text.size() : 0;
    }
    texts_ = std::make_unique<char[]>(bytes_);
    char* text = texts_.get();
    for (RequestArg& arg : args_) {
      if (arg.blob.IsNull() && !arg.text.empty()) {
        std::memcpy(text, arg.text.data(), arg.text.size());
        arg.text = {text, arg.text.size()};
        text += arg.text.size();
      }
    }
  }

  [[nodiscard]] std::span<const RequestArg> Args() const { return args_; }
  // Of the arguments that lie in no blob.
  [[nodiscard]] std::size_t TextBytes() const { return bytes_; }
  // That it takes, but for blobs.
  [[nodiscard]] std::size_t Bytes() const {
    return sizeof(KeptRequest) + bytes_ + args_.capacity() * sizeof(RequestArg);
  }

 private:
  std::vector<RequestArg> args_;
  std::size_t bytes_ = 0;
  std::unique_ptr<char[]> texts_;
};

}  // namespace sluice::server
