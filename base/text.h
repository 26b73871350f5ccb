// Text: an immutable, reference-counted byte string on the heap, for keys, tags and field names. A
// handle is 8 bytes. A reply may keep a Text after its row is removed.
//
// Thread safety: like shared_ptr: copies may be used and destroyed on different threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

namespace sluice {

// Memory of a Text in addition to its bytes.
inline constexpr std::int64_t kTextOverheadBytes = 24;

class Text {
 public:
  Text() = default;  // null; View() is ""
  // Copies `bytes`. Errors: std::bad_alloc. REQUIRES: less than 4 GiB.
  explicit Text(std::string_view bytes);
  Text(const Text& other) noexcept : rep_(other.rep_) { Retain(); }
  Text(Text&& other) noexcept : rep_(std::exchange(other.rep_, nullptr)) {}
  Text& operator=(Text other) noexcept {
    std::swap(rep_, other.rep_);
    return *this;
  }
  ~Text() { Drop(); }

  [[nodiscard]] bool IsNull() const { return rep_ == nullptr; }
  // True if both share the same bytes, that is, one is a copy of the other.
  [[nodiscard]] bool Shares(const Text& other) const { return rep_ == other.rep_; }
  // Prefetches the bytes into the CPU cache, for a batch of later accesses.
  void Prefetch() const noexcept { __builtin_prefetch(rep_, 1); }
  [[nodiscard]] std::string_view View() const {
    return rep_ == nullptr ? std::string_view()
                           : std::string_view(reinterpret_cast<const char*>(rep_ + 1), rep_->size);
  }

 private:
  struct Rep {
    std::atomic<std::uint32_t> count;
    std::uint32_t size;  // the bytes follow
  };
  void Retain() noexcept;
  void Drop() noexcept;

  Rep* rep_ = nullptr;
};

}  // namespace sluice
