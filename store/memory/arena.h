// Arena: an allocator for payloads that recycles memory. It allocates runs of 4 KiB pages from one
// reserved address range.
//
// Why not malloc: the first write to a fresh page costs far more than the copy into it (12 us per
// page on a virtual machine, 0.3 GB/s); recycled memory takes 17-30 GB/s. So touched pages are kept
// and allocated first, and TouchAhead() touches fresh pages before they are needed.
//
//   | run in use | free run | run in use | ... | touched ahead | never touched ............... |
//   ^ base                                     ^ frontier      ^ touched end        base+size ^
//
// Allocate() takes a free run below the frontier by best fit within its size class and splits it;
// touched runs come before runs whose pages were returned to the system. Only if no free run fits
// does the frontier move. Free() joins adjacent free runs immediately. All bookkeeping is in a
// separate page table, so Free() cannot fail and neither call uses malloc. Free runs are poisoned
// under AddressSanitizer. The method is segregated fits with boundary tags (Knuth; Masmano et al.,
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
    std::size_t keep_bytes = SIZE_MAX;  // free memory that Trim() keeps
  };
  struct Stats {
    std::size_t used_bytes = 0;     // in allocated runs
    std::size_t free_bytes = 0;     // free and touched (part of the process's RSS)
    std::size_t touched_bytes = 0;  // touched ahead, beyond the frontier
    std::size_t reserved_bytes = 0;
  };

  // Reserves the address range; if that fails, halves its size and retries. Errors: kOom if not
  // even a small range can be reserved.
  static Result<std::unique_ptr<Arena>> Make(const Options& options);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` rounded up to whole pages, the size allocated and charged. One page for 0.
  static std::size_t RunBytes(std::size_t bytes) noexcept;

  // Returns a page-aligned run of RunBytes(bytes), contents undefined; null if no run fits.
  [[nodiscard]] char* Allocate(std::size_t bytes) noexcept;
  // REQUIRES: `run` came from Allocate(bytes) with the same RunBytes(bytes).
  void Free(char* run, std::size_t bytes) noexcept;

  // Touches up to 2 MiB of fresh memory beyond the frontier. Returns false if `prealloc_bytes`
  // are ready. Intended for a background thread; does not hold the mutex while touching.
  bool TouchAhead() noexcept;
  void SetPrealloc(std::size_t bytes) noexcept;
  void SetKeep(std::size_t bytes) noexcept;
  // Returns up to 64 MiB of free memory to the system if more than `keep_bytes` of it are touched.
  // Returns false if there is nothing to do. Intended for a background thread; does not hold the
  // mutex during the system call.
  bool Trim() noexcept;
  // Returns all free touched pages to the system, except the prealloc_bytes beyond the frontier.
  // Does not hold the mutex during system calls. Returns the number of bytes released.
  std::size_t Purge() noexcept;

  [[nodiscard]] Stats GetStats() const noexcept;

 private:
  explicit Arena(std::size_t reserve_bytes) noexcept;
  // REQUIRES: no other thread uses the arena yet.
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
