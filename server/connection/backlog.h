// Backlog: the input that arrives while requests do not run, because output is pending or a command
// is blocked. It is kept in blocks, so that a long backlog is neither copied when it grows nor
// moved when it is read. It goes through the parser later, as if it came from the socket.
//
// Thread safety: the I/O thread of its connection.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "resp/ring.h"

namespace sluice::server {

class Backlog {
 public:
  static constexpr std::size_t kBlockBytes = std::size_t{16} * 1024;

  [[nodiscard]] bool Empty() const { return begin_ == end_; }
  // Memory used.
  [[nodiscard]] std::size_t CapacityBytes() const { return blocks_.size() * kBlockBytes; }

  // Returns where to put the next bytes; never empty. Errors: std::bad_alloc.
  std::span<char> Space() {
    if (end_ == CapacityBytes()) {
      blocks_.Reserve(1);
      blocks_.PushBack(std::make_unique_for_overwrite<char[]>(kBlockBytes));
    }
    const std::size_t used = end_ % kBlockBytes;
    return {blocks_.Back().get() + used, kBlockBytes - used};
  }
  // `count` bytes were put into Space(); 0: the block is not needed now.
  void Filled(std::size_t count) {
    end_ += count;
    assert(end_ <= CapacityBytes());
    if (end_ + kBlockBytes == CapacityBytes()) {
      blocks_.PopBack();
    }
  }
  // Moves its first bytes to `target`. Returns how many.
  std::size_t Take(std::span<char> target) {
    std::size_t taken = 0;
    while (taken < target.size() && !Empty()) {
      const std::size_t part =
          std::min({target.size() - taken, kBlockBytes - begin_, end_ - begin_});
      std::memcpy(target.data() + taken, blocks_.Front().get() + begin_, part);
      taken += part;
      begin_ += part;
      if (begin_ == kBlockBytes) {
        blocks_.PopFront();
        begin_ = 0;
        end_ -= kBlockBytes;
      }
    }
    if (Empty() && !blocks_.empty()) {
      blocks_.PopFront();
      begin_ = end_ = 0;
    }
    return taken;
  }

 private:
  resp::Ring<std::unique_ptr<char[]>> blocks_;
  std::size_t begin_ = 0;  // offset of the data from the first block's first byte
  std::size_t end_ = 0;
};

}  // namespace sluice::server
