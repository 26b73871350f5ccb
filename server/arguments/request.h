// One argument of a request as commands see it, a view of all arguments, and a kept request.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "store/memory/blob.h"

namespace sluice::server {

// `text` is valid while the request runs. A large argument (resp::kLargeBulkBytes or more) is in
// `blob`, which a handler may keep; otherwise `blob` is null.
struct RequestArg {
  std::string_view text;
  store::Blob blob;
};

// The arguments of a request, command name first, or a part of them; borrows them. Clients choose
// the number of arguments, so access is checked in every build: a missing argument reads as empty.
class RequestView {
 public:
  RequestView() = default;
  // NOLINTBEGIN(google-explicit-constructor): containers of arguments are passed as they are
  RequestView(std::span<const RequestArg> args) : args_(args) {}
  RequestView(std::span<RequestArg> args) : args_(args) {}
  RequestView(const std::vector<RequestArg>& args) : args_(args) {}
  // NOLINTEND(google-explicit-constructor)

  [[nodiscard]] std::size_t size() const { return args_.size(); }
  [[nodiscard]] bool empty() const { return args_.empty(); }
  [[nodiscard]] auto begin() const { return args_.begin(); }
  [[nodiscard]] auto end() const { return args_.end(); }
  [[nodiscard]] const RequestArg& operator[](std::size_t position) const {
    return position < args_.size() ? args_[position] : kNone;
  }
  [[nodiscard]] const RequestArg& front() const { return (*this)[0]; }
  // The first `count` arguments, or all if there are fewer.
  [[nodiscard]] RequestView first(std::size_t count) const {
    return args_.first(std::min(count, args_.size()));
  }
  // All but the first `count` arguments.
  [[nodiscard]] RequestView subspan(std::size_t count) const {
    return args_.subspan(std::min(count, args_.size()));
  }

 private:
  inline static const RequestArg kNone;
  std::span<const RequestArg> args_;
};

// A request that outlives its input buffer: a blocked one (BLOCK) or one queued in a transaction.
class KeptRequest {
 public:
  // Errors: std::bad_alloc.
  explicit KeptRequest(RequestView request) : args_(request.begin(), request.end()) {
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

  [[nodiscard]] RequestView Args() const { return args_; }
  // Bytes of the arguments that are not in blobs.
  [[nodiscard]] std::size_t TextBytes() const { return bytes_; }
  // Memory used, without blobs.
  [[nodiscard]] std::size_t Bytes() const {
    return sizeof(KeptRequest) + bytes_ + args_.capacity() * sizeof(RequestArg);
  }

 private:
  std::vector<RequestArg> args_;
  std::size_t bytes_ = 0;
  std::unique_ptr<char[]> texts_;
};

}  // namespace sluice::server
