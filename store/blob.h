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

#include "store/arena.h"
#include "store/budget.h"

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

  // This handle's count, to be released with ReleasePin(); the handle is null afterwards. Of a null
  // handle: null.
  [[nodiscard]] void* Detach() noexcept { return std::exchange(rep_, nullptr); }
  static void ReleasePin(void* detached) noexcept {
    const Blob last(static_cast<Rep*>(detached));  // drops the count
  }

 private:
  friend class Memory;
  struct Rep {
    Rep(Memory* owner, std::size_t bytes) : memory(owner), size(bytes) {}
    std::atomic<std::uint32_t> count{1};
    Memory* memory;
    char* data = nullptr;
    std::size_t size;
    std::size_t charged = 0;  // of RunBytes(size)
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
};

}  // namespace sluice::store
