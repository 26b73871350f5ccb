// Blob: a reference-counted run of the arena, charged to the memory budget. Memory allocates blobs.
//
// The last copy frees the run. The creator writes the bytes before it shares the blob; afterwards
// they never change.
//
// Thread safety: copies may be used and destroyed on different threads; only the creator may write
// the bytes.
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
  [[nodiscard]] std::size_t size() const;  // as requested, not rounded up
  [[nodiscard]] std::string_view View() const { return {data(), size()}; }

  // For uploads: charges the first `bytes` of the blob, unless charged already, in steps of 1 MiB.
  // Returns false and changes nothing if the memory budget is exceeded. REQUIRES: not null.
  [[nodiscard]] bool ChargeUpTo(std::size_t bytes, std::int64_t overdraft) noexcept;

  // Bookkeeping of the store: the bytes of the blob that cells point at, and the number of chunks
  // and strings of the store that hold the blob. No effect if null. REQUIRES: engine lock held.
  void AddLive(std::int64_t bytes) noexcept;
  void AddHolder(int count) noexcept;
  // Marks the bytes after the first `bytes` as unwritten, so that a value can grow into them. In
  // other blobs nothing can be claimed. REQUIRES: engine lock held.
  void SetClaimed(std::size_t bytes) noexcept { rep_->claimed = bytes; }
  // Claims `bytes` from `offset` on for the caller to write. Returns false if they are already
  // claimed or do not fit. REQUIRES: not null; engine lock held.
  [[nodiscard]] bool ClaimTail(std::size_t offset, std::size_t bytes) noexcept;
  [[nodiscard]] std::size_t LiveBytes() const { return rep_ == nullptr ? 0 : rep_->live; }

  // Returns this handle's reference, to be released with ReleasePin(), and makes the handle null.
  // Returns null for a null handle.
  [[nodiscard]] void* Detach() noexcept { return std::exchange(rep_, nullptr); }
  static void ReleasePin(void* detached) noexcept {
    const Blob last(static_cast<Rep*>(detached));  // its destructor drops the reference
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
    std::size_t claimed;      // guarded, like the next two, by the engine lock
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

  // `announced_max`: limit on the bytes of all blobs that are reserved but not charged yet.
  // REQUIRES: the Memory outlives every blob.
  Memory(std::unique_ptr<Arena> arena, std::size_t announced_max);

  // Returns a fully charged blob; null if the memory budget or the arena has no space for `bytes`.
  // Errors: std::bad_alloc.
  [[nodiscard]] Blob Allocate(std::size_t bytes, std::int64_t overdraft = 0);
  // As Allocate, but only ChargeUpTo() charges the blob. Also returns null if `bytes` exceeds the
  // budget's limit, or if the announced bytes would exceed `announced_max`.
  [[nodiscard]] Blob Reserve(std::size_t bytes);

  // Bytes of the runs that the store holds; other runs belong to requests and replies.
  [[nodiscard]] std::size_t StoredBytes() const { return stored_.load(std::memory_order_relaxed); }

  // Bytes of runs reserved for uploads and not charged yet.
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
  std::atomic<std::size_t> announced_{0};  // RunBytes of reserved blobs minus the bytes charged
  std::size_t announced_max_;
  std::atomic<std::size_t> stored_{0};
};

}  // namespace sluice::store
