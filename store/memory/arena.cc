#include "store/memory/arena.h"

#include <algorithm>
#include <memory>

#include <sys/mman.h>

namespace sluice::store {
namespace {

constexpr std::size_t kHugeBytes = std::size_t{2} << 20;
constexpr PageIndex kTrimPages = 16384;  // 64 MiB: releasing them takes milliseconds
constexpr std::size_t kReserveMax = RunTable::kPagesMax * Arena::kPageBytes;

std::size_t RoundUp(std::size_t bytes, std::size_t unit) {
  return (std::min(bytes, SIZE_MAX - (unit - 1)) + unit - 1) / unit * unit;
}

// Saturates at a count that no arena has.
PageIndex PagesOf(std::size_t bytes) {
  const std::size_t pages = Arena::RunBytes(bytes) / Arena::kPageBytes;
  return static_cast<PageIndex>(std::min<std::size_t>(pages, RunTable::kNone));
}

// Makes the system back each page with memory. The pages may be allocated and written concurrently:
// an atomic "or 0" changes nothing.
__attribute__((no_sanitize("address", "thread"))) void Touch(char* begin, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += Arena::kPageBytes) {
    __atomic_fetch_or(begin + at, 0, __ATOMIC_RELAXED);
  }
}

}  // namespace

Result<std::unique_ptr<Arena>> Arena::Make(const Options& options) {
  std::size_t bytes =
      std::clamp(RoundUp(options.reserve_bytes, kHugeBytes), kHugeBytes, kReserveMax);
  for (; bytes >= kHugeBytes; bytes = bytes / 2 / kHugeBytes * kHugeBytes) {
    std::unique_ptr<Arena> arena(
        new Arena(bytes));  // make_unique can't: the constructor is private
    if (arena->Mapped()) {
      arena->SetPrealloc(options.prealloc_bytes);
      arena->SetKeep(options.keep_bytes);
      return arena;
    }
  }
  return Status(Code::kOom, "cannot reserve address space for the arena");
}

Arena::Arena(std::size_t reserve_bytes) noexcept
    : region_(reserve_bytes + kHugeBytes),
      runs_(static_cast<PageIndex>(reserve_bytes / kPageBytes)) {
  if (!Mapped()) {
    return;
  }
  void* base = region_.data();
  std::size_t space = reserve_bytes + kHugeBytes;
  base_ = static_cast<char*>(std::align(kHugeBytes, reserve_bytes, base, space));
  madvise(base_, reserve_bytes, MADV_HUGEPAGE);  // an optimization; failure is harmless
  Poison(base_, kHugeBytes);
}

Arena::~Arena() {
  if (Mapped()) {
    const PageIndex ahead = std::min<PageIndex>(runs_.Size() - runs_.Frontier(),
                                                static_cast<PageIndex>(kHugeBytes / kPageBytes));
    Unpoison(base_, (runs_.Frontier() + ahead) * kPageBytes);
  }
}

std::size_t Arena::RunBytes(std::size_t bytes) noexcept {
  return RoundUp(std::max<std::size_t>(bytes, 1), kPageBytes);
}

char* Arena::Allocate(std::size_t bytes) noexcept {
  const PageIndex length = PagesOf(bytes);
  const MutexLock lock(mutex_);
  const PageIndex frontier = runs_.Frontier();
  const PageIndex begin = runs_.Take(length);
  if (begin == RunTable::kNone) {
    return nullptr;
  }
  if (runs_.Frontier() != frontier) {
    touched_end_ = std::max(touched_end_, runs_.Frontier());
    // Only fresh memory near the frontier is poisoned: shadow memory for all of it would be too
    // large.
    const std::size_t left = (runs_.Size() - runs_.Frontier()) * kPageBytes;
    Poison(AddressOf(runs_.Frontier()), std::min(left, kHugeBytes));
  }
  Unpoison(AddressOf(begin), length * kPageBytes);
  return AddressOf(begin);
}

void Arena::Free(char* run, std::size_t bytes) noexcept {
  const auto begin = static_cast<PageIndex>(static_cast<std::size_t>(run - base_) / kPageBytes);
  const Run freed{begin, PagesOf(bytes)};
  Poison(run, freed.length * kPageBytes);
  const MutexLock lock(mutex_);
  runs_.Return(freed, true);
}

bool Arena::Trim() noexcept {
  MutexLock lock(mutex_);
  const std::size_t kept = std::min<std::size_t>(keep_bytes_ / kPageBytes, runs_.FreeTouched());
  const auto excess = static_cast<PageIndex>(runs_.FreeTouched() - kept);
  if (excess == 0) {
    return false;
  }
  std::size_t purged = 0;
  PurgeRun(runs_.FrontWithTouched(runs_.LongTouchedFree(), std::min(excess, kTrimPages)), lock,
           purged);
  return true;
}

bool Arena::TouchAhead() noexcept {
  MutexLock lock(mutex_);
  const PageIndex begin = touched_end_;
  const std::size_t ready = (begin - runs_.Frontier()) * kPageBytes;
  const std::size_t left = (runs_.Size() - begin) * kPageBytes;
  if (ready >= prealloc_bytes_ || left == 0) {
    return false;
  }
  const std::size_t missing = RoundUp(prealloc_bytes_ - ready, kPageBytes);
  const std::size_t bytes = std::min({kHugeBytes, missing, left});
  lock.unlock();
  Touch(AddressOf(begin), bytes);
  lock.lock();
  if (touched_end_ >= begin) {  // else it was trimmed concurrently
    touched_end_ = std::max(touched_end_, begin + static_cast<PageIndex>(bytes / kPageBytes));
  }
  return true;
}

void Arena::SetPrealloc(std::size_t bytes) noexcept {
  const MutexLock lock(mutex_);
  prealloc_bytes_ = bytes;
}

void Arena::SetKeep(std::size_t bytes) noexcept {
  const MutexLock lock(mutex_);
  keep_bytes_ = bytes;
}

std::size_t Arena::Purge() noexcept {
  MutexLock lock(mutex_);
  std::size_t purged = TrimAhead();
  for (Run run = runs_.NextTouchedFree(0); run.length > 0;) {
    run = runs_.NextTouchedFree(PurgeRun(run, lock, purged));
  }
  return purged;
}

// Releases a free run to the system and adds its touched bytes to `purged`. Returns the end of the
// joined free run that contains it. The run counts as used during the system call, so that it is
// not allocated.
PageIndex Arena::PurgeRun(Run run, MutexLock& lock,
                          std::size_t& purged) noexcept NO_THREAD_SAFETY_ANALYSIS {
  purged += runs_.TakeFree(run) * kPageBytes;
  lock.unlock();
  GiveBack(run);
  lock.lock();
  return runs_.Return(run, false).end();
}

Arena::Stats Arena::GetStats() const noexcept {
  const MutexLock lock(mutex_);
  return {.used_bytes = runs_.Used() * kPageBytes,
          .free_bytes = runs_.FreeTouched() * kPageBytes,
          .touched_bytes = (touched_end_ - runs_.Frontier()) * kPageBytes,
          .reserved_bytes = runs_.Size() * kPageBytes};
}

void Arena::GiveBack(Run run) const noexcept {
  madvise(AddressOf(run.begin), run.length * kPageBytes, MADV_DONTNEED);
}

// Returns to the system the pages touched ahead in excess of prealloc_bytes_.
std::size_t Arena::TrimAhead() noexcept {
  const std::size_t ready = (touched_end_ - runs_.Frontier()) * kPageBytes;
  const std::size_t wanted = std::min(ready, RoundUp(prealloc_bytes_, kPageBytes));
  const auto excess = static_cast<PageIndex>((ready - wanted) / kPageBytes);
  if (excess == 0) {
    return 0;
  }
  touched_end_ -= excess;
  GiveBack({touched_end_, excess});
  return excess * kPageBytes;
}

}  // namespace sluice::store
