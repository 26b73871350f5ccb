// OutputBudget: a connection's scratch output, charged against maxmemory block by block.
//
// Thread safety: the I/O thread of its connection.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "resp/block_source.h"
#include "store/memory/budget.h"

namespace sluice::server {

class OutputBudget final : public resp::BlockSource {
 public:
  // A connection always gets this many bytes, so that a full server can still be diagnosed.
  static constexpr std::size_t kFreeBytes = std::size_t{128} << 10;
  // A connection never gets more: a limit on the replies inside EXEC and on a reply that is not
  // produced in pieces.
  static constexpr std::size_t kBytesMax = std::size_t{64} << 20;

  // Both are borrowed; `connections` counts the bytes of all connections' buffers.
  OutputBudget(store::Budget& budget, std::atomic<std::int64_t>& connections)
      : budget_(budget), clients_(connections) {}

  // May exceed maxmemory as far as commands that store nothing, so that a full server can be read.
  bool Take(std::size_t bytes, bool must) noexcept override {
    const auto taken = static_cast<std::int64_t>(bytes);
    if (must || taken_ + bytes <= kFreeBytes) {
      budget_.Charge(taken);
    } else if (taken_ + bytes > kBytesMax ||
               !budget_.TryCharge(taken, store::Budget::kOverdraftBytes)) {
      return false;
    }
    taken_ += bytes;
    clients_.fetch_add(taken, std::memory_order_relaxed);
    return true;
  }
  [[nodiscard]] bool HasSpace(std::size_t bytes) const noexcept override {
    return taken_ + bytes <= kFreeBytes ||
           (taken_ + bytes <= kBytesMax &&
            budget_.Used() <= Ceiling() - static_cast<std::int64_t>(bytes));
  }
  void Give(std::size_t bytes) noexcept override {
    budget_.Release(static_cast<std::int64_t>(bytes));
    clients_.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
    taken_ -= bytes;
  }

 private:
  [[nodiscard]] std::int64_t Ceiling() const noexcept {
    const std::int64_t limit = budget_.Limit();
    return limit > store::Budget::kNoLimit - store::Budget::kOverdraftBytes
               ? store::Budget::kNoLimit
               : limit + store::Budget::kOverdraftBytes;
  }

  store::Budget& budget_;
  std::atomic<std::int64_t>& clients_;
  std::size_t taken_ = 0;
};

}  // namespace sluice::server
