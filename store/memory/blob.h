// Blob: a run of the arena, shared by count, charged to the budget. Memory: what hands them out.
//
// Whoever drops the last copy gives the run back. Bytes are written by the one who made it, before
// it is shared, and never change after.
//
// Thread safety: copies may be used and dropped on different threads; filling one is for its maker
// alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "store/memory/arena.h"
#include "store/memory/budget.h"

namespace sluice::store {

class Memory;

class Blob {
 public:
  Blob() = default;  // null
  Blob(const Blob& other) noexcept : rep_(other.rep_) { Retain(); }
  Blob(Blob&& other) noexcept : rep_(std::exchange(other.rep_, nullptr)) {}
  Blob& operator=(Blob other) noexcept {
    std::swap(rep_, other.rep_);
    return *this;
  }
  ~Blob() { Drop(); }

  [[nodiscard]] bool IsNull() const { return rep_ == nullptr; }
  [[nodiscard]] char* data() const;
  [[nodiscard]] std::size_t size() const;  // as asked for, not rounded
  [[nodiscard]] std::string_view View() const { return {data(), size()}; }

  // For uploads: charges what the first `bytes` of the blob need, if they are not charged yet, in
  // steps of 1 MiB. False where the budget says no; then nothing changed. REQUIRES: not null.
  [[nodiscard]] bool ChargeUpTo(std::size_t bytes, std::int64_t overdraft) noexcept;

  // Bookkeeping of the store, under the engine lock: how many bytes of the blob cells point at, and
  // how many chunks and strings of the store hold it. Null: no effect.
  void AddLive(std::int64_t bytes) noexcept;
  void AddHolder(int count) noexcept;
  // A blob that a value may grow in: nobody has written behind its first `bytes` yet. Of a blob
  // that was not told so, nothing can be claimed. Under the engine lock, as the next.
  void SetClaimed(std::size_t bytes) noexcept { rep_->claimed = bytes; }
  // Claims `bytes` from `offset` on, for the caller to write. False where others have it, or there
  // is no room. REQUIRES: not null.
  [[nodiscard]] bool ClaimTail(std::size_t offset, std::size_t bytes) noexcept;
  [[nodiscard]] std::size_t LiveBytes() const { return rep_ == nullptr ? 0 : rep_->live; }

  // This handle's count, to be released with ReleasePin(); the handle is null afterwards. Of a null
  // handle: null.
  [[nodiscard]] void* Detach() noexcept { return std::exchange(rep_, nullptr); }
  static void ReleasePin(void* detached) noexcept {
    const Blob last(static_cast<Rep*>(detached));  // drops the count
  }

 private:
  friend class Memory;
  struct Rep {
    Rep(Memory* owner, std::size_t bytes) : memory(owner), size(bytes), claimed(bytes) {}
    std::atomic<std::uint32_t> count{1};
    Memory* memory;
    char* data = nullptr;
    std::size_t size;
    std::size_t charged = 0;  // of RunBytes(size)
    std::size_t claimed;      // these three under the engine lock
    std::size_t live = 0;
    std::uint32_t holders = 0;
  };
  explicit Blob(Rep* rep) : rep_(rep) {}
  void Retain() noexcept;
  void Drop() noexcept;

  Rep* rep_ = nullptr;
};

class Memory {
 public:
  static constexpr std::size_t kChargeStepBytes = std::size_t{1} << 20;

  // REQUIRES: outlives every blob. `announced_max`: how many bytes of reserved but not yet charged
  // blobs there may be at a time, all uploads together.
  Memory(std::unique_ptr<Arena> arena, std::size_t announced_max);

  // A blob of `bytes`, charged whole. Null where budget or arena say no. Errors: std::bad_alloc.
  [[nodiscard]] Blob Allocate(std::size_t bytes, std::int64_t overdraft = 0);
  // As Allocate, but charged as ChargeUpTo() asks for it. Null also where the budget's limit is
  // smaller than `bytes`, or the sum of what is announced would pass `announced_max`.
  [[nodiscard]] Blob Reserve(std::size_t bytes);

  // Bytes of the runs that the store holds; the others are in requests and replies.
  [[nodiscard]] std::size_t StoredBytes() const { return stored_.load(std::memory_order_relaxed); }

  // Bytes of runs that are reserved for uploads and not charged yet.
  [[nodiscard]] std::size_t AnnouncedBytes() const {
    return announced_.load(std::memory_order_relaxed);
  }

  [[nodiscard]] Arena& GetArena() { return *arena_; }
  [[nodiscard]] Budget& GetBudget() { return budget_; }

 private:
  friend class Blob;
  static void Destroy(Blob::Rep* rep) noexcept;

  std::unique_ptr<Arena> arena_;
  Budget budget_;
  std::atomic<std::size_t> announced_{
      0};  // RunBytes of the blobs reserved, less what they are charged
  std::size_t announced_max_;
  std::atomic<std::size_t> stored_{0};
};

}  // namespace sluice::store
