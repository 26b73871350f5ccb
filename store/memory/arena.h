// Arena: recycled memory for payloads. Runs of 4 KiB pages from one reserved address range.
//
// Why not malloc: the first write to a fresh page costs far more than the copy into it (12 us a
// page on a virtual machine, 0.3 GB/s), memory used before takes 17-30 GB/s. So pages that were
// touched are kept and given out first, and fresh ones are touched ahead of need by TouchAhead().
//
//   | run in use | free run | run in use | ... | touched ahead | never touched ............... |
//   ^ base                                     ^ frontier      ^ touched end        base+size ^
//
// A free run below the frontier is taken by best fit within its size class and split, touched runs
// before those whose pages were given back; neighbours that are free are joined at once. Only what
// no free run holds moves the frontier. All bookkeeping lies in a page table of its own, so Free()
// cannot fail, and neither call takes memory from malloc. A free run is poisoned under
// AddressSanitizer. Source of the idea: segregated fits with boundary tags (Knuth; Masmano et al.,
// TLSF, 2004).
//
// Thread safety: any thread; one internal mutex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/mapping.h"
#include "base/mutex.h"
#include "base/status.h"
#include "store/memory/run_table.h"

namespace sluice::store {

class Arena {
 public:
  static constexpr std::size_t kPageBytes = 4096;

  struct Options {
    std::size_t reserve_bytes = 0;  // address space, not memory; rounded up to 2 MiB
    std::size_t prealloc_bytes =
        0;  // fresh memory that TouchAhead() keeps ready beyond the frontier
    std::size_t keep_bytes = SIZE_MAX;  // free memory that Trim() leaves
  };
  struct Stats {
    std::size_t used_bytes = 0;     // in runs given out
    std::size_t free_bytes = 0;     // free and touched (they count in the process's RSS)
    std::size_t touched_bytes = 0;  // touched ahead, beyond the frontier
    std::size_t reserved_bytes = 0;
  };

  // Errors: kOom where not even a small range can be reserved (it tries half as much until it
  // fits).
  static Result<std::unique_ptr<Arena>> Make(const Options& options);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` rounded up to whole pages: what Allocate takes and what is charged. 0 takes one page.
  static std::size_t RunBytes(std::size_t bytes) noexcept;

  // A run of RunBytes(bytes), page-aligned, contents undefined; null where there is none.
  [[nodiscard]] char* Allocate(std::size_t bytes) noexcept;
  // REQUIRES: `run` came from Allocate(bytes) with the same RunBytes(bytes).
  void Free(char* run, std::size_t bytes) noexcept;

  // Touches up to 2 MiB of fresh memory beyond the frontier. Returns false when `prealloc_bytes`
  // are ready. Meant for a background thread; does not hold the mutex while touching.
  bool TouchAhead() noexcept;
  void SetPrealloc(std::size_t bytes) noexcept;
  void SetKeep(std::size_t bytes) noexcept;
  // Gives some free memory back to the system, at most 64 MiB, where more than `keep_bytes` of it
  // are touched. Returns false where there is nothing to do. Meant for a background thread; does
  // not hold the mutex while the system takes the run.
  bool Trim() noexcept;
  // Gives all free touched pages back to the system, but for the prealloc_bytes beyond the
  // frontier. Does not hold the mutex while the system takes a free run. Returns the bytes given
  // back.
  std::size_t Purge() noexcept;

  [[nodiscard]] Stats GetStats() const noexcept;

 private:
  explicit Arena(std::size_t reserve_bytes) noexcept;
  // Before anybody else has it.
  [[nodiscard]] bool Mapped() const NO_THREAD_SAFETY_ANALYSIS {
    return region_.data() != nullptr && runs_.Mapped();
  }
  [[nodiscard]] char* AddressOf(PageIndex page) const { return base_ + page * kPageBytes; }
  void GiveBack(Run run) const noexcept;
  PageIndex PurgeRun(Run run, MutexLock& lock, std::size_t& purged) noexcept REQUIRES(mutex_);
  [[nodiscard]] std::size_t TrimAhead() noexcept REQUIRES(mutex_);

  mutable Mutex mutex_;
  Mapping region_;
  char* base_ = nullptr;
  RunTable runs_ GUARDED_BY(mutex_);
  PageIndex touched_end_ GUARDED_BY(mutex_) = 0;  // at the frontier or beyond
  std::size_t prealloc_bytes_ GUARDED_BY(mutex_) = 0;
  std::size_t keep_bytes_ GUARDED_BY(mutex_) = SIZE_MAX;
};

}  // namespace sluice::store
