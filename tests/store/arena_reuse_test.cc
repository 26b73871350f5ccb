// The memory that the arena returns and gives back: fit, frontier, touched and purged pages.
#include <array>
#include <cstring>
#include <memory>

#include <catch2/catch.hpp>
#include <sys/mman.h>

#include "store/memory/arena.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace sluice::store {
namespace {

constexpr std::size_t kPage = Arena::kPageBytes;
constexpr std::size_t kMiB = std::size_t{1} << 20;

std::unique_ptr<Arena> MakeArena(const Arena::Options& options) {
  auto made = Arena::Make(options);
  REQUIRE(made.ok());
  return *std::move(made);
}

bool IsResident(char* page) {
  unsigned char resident = 0;
  REQUIRE(mincore(page, kPage, &resident) == 0);
  return (resident & 1U) != 0;
}

}  // namespace

TEST_CASE("the tightest free run is taken, and adjacent free runs are merged", "[arena]") {
  const auto arena = MakeArena({.reserve_bytes = 64 * kMiB});
  const std::array<std::size_t, 5> pages = {200, 90, 40, 43, 300};
  std::array<char*, 5> runs = {};
  std::array<char*, 5> walls = {};  // in use, so that the runs stay apart
  for (std::size_t i = 0; i < pages.size(); ++i) {
    runs[i] = arena->Allocate(pages[i] * kPage);
    walls[i] = arena->Allocate(1);
  }
  for (std::size_t i = 0; i < pages.size(); ++i) {
    arena->Free(runs[i], pages[i] * kPage);
  }
  CHECK(arena->Allocate(41 * kPage) == runs[3]);
  CHECK(arena->Allocate(40 * kPage) == runs[2]);
  CHECK(arena->Allocate(44 * kPage) == runs[1]);
  arena->Free(walls[0], 1);  // merges the 200 with the wall; the rest of the 90 is not adjacent
  CHECK(arena->Allocate(201 * kPage) == runs[0]);
}

TEST_CASE("within a size class the shortest run that fits is taken, not the first", "[arena]") {
  const auto arena = MakeArena({.reserve_bytes = 64 * kMiB});
  char* const tight = arena->Allocate(129 * kPage);
  REQUIRE(arena->Allocate(1) != nullptr);  // keeps the two apart
  char* const loose = arena->Allocate(131 * kPage);
  REQUIRE(arena->Allocate(1) != nullptr);
  arena->Free(tight, 129 * kPage);
  arena->Free(loose, 131 * kPage);
  CHECK(arena->Allocate(128 * kPage) == tight);
}

TEST_CASE("a free run at the frontier grows instead of being left behind", "[arena]") {
  const auto arena = MakeArena({.reserve_bytes = 4 * kMiB});
  char* const first = arena->Allocate(kMiB);
  arena->Free(first, kMiB);
  CHECK(arena->Allocate(3 * kMiB) == first);
  CHECK(arena->GetStats().free_bytes == 0);
  CHECK(arena->Allocate(kMiB) != nullptr);
}

TEST_CASE("Purge gives free pages back, keeps used ones, and touched runs are preferred after it",
          "[arena]") {
  const auto arena = MakeArena({.reserve_bytes = 16 * kMiB});
  char* const purged = arena->Allocate(kMiB);
  char* const used = arena->Allocate(kPage);
  char* const touched = arena->Allocate(2 * kMiB);
  std::memset(purged, 1, kMiB);
  std::memset(used, 2, kPage);
  std::memset(touched, 3, 2 * kMiB);
  arena->Free(purged, kMiB);
  CHECK(arena->Purge() == kMiB);
  CHECK(arena->Purge() == 0);
  CHECK(arena->GetStats().free_bytes == 0);
  CHECK_FALSE(IsResident(purged));
  CHECK(used[kPage - 1] == 2);

  char* const wall = arena->Allocate(16 * kMiB - (3 * kMiB + kPage));  // keeps `touched` apart
  arena->Free(touched, 2 * kMiB);
  char* const preferred = arena->Allocate(kMiB);  // though the purged one fits exactly
  CHECK(preferred == touched);
  CHECK(arena->Allocate(kMiB) == touched + kMiB);
  CHECK(arena->GetStats().free_bytes == 0);
  char* const fresh = arena->Allocate(kMiB);
  CHECK(fresh == purged);
  CHECK(fresh[0] == 0);
  CHECK(arena->GetStats().used_bytes == 16 * kMiB);
  CHECK(wall != nullptr);
}

TEST_CASE("Trim gives back free memory beyond keep_bytes, and no more", "[arena]") {
  const auto arena = MakeArena({.reserve_bytes = 16 * kMiB, .keep_bytes = kMiB});
  char* const first = arena->Allocate(2 * kMiB);
  std::memset(first, 1, 2 * kMiB);
  CHECK_FALSE(arena->Trim());
  arena->Free(first, 2 * kMiB);
  CHECK(arena->GetStats().free_bytes == 2 * kMiB);
  CHECK(IsResident(first));
  CHECK(arena->Trim());
  CHECK_FALSE(arena->Trim());
  CHECK(arena->GetStats().free_bytes == kMiB);
  CHECK_FALSE(IsResident(first));
  CHECK(IsResident(first + kMiB));

  char* const both = arena->Allocate(2 * kMiB);  // one free run, half of it touched
  REQUIRE(both == first);
  CHECK(arena->GetStats().free_bytes == 0);
  arena->SetKeep(SIZE_MAX);
  arena->Free(both, 2 * kMiB);
  CHECK_FALSE(arena->Trim());
  CHECK(arena->GetStats().free_bytes == 2 * kMiB);
}

TEST_CASE("TouchAhead keeps prealloc_bytes of memory ready, and Purge gives back the rest",
          "[arena]") {
  const auto arena = MakeArena({.reserve_bytes = 16 * kMiB, .prealloc_bytes = 5 * kMiB});
  int calls = 0;
  while (arena->TouchAhead()) {
    ++calls;
  }
  CHECK(calls == 3);
  CHECK(arena->GetStats().touched_bytes == 5 * kMiB);
  char* const run = arena->Allocate(kMiB);
  CHECK(IsResident(run));
  CHECK(IsResident(run + 5 * kMiB - kPage));
  CHECK(arena->GetStats().touched_bytes == 4 * kMiB);
  CHECK(arena->TouchAhead());
  CHECK(arena->GetStats().touched_bytes == 5 * kMiB);

  arena->SetPrealloc(2 * kMiB);
  CHECK(arena->Purge() == 3 * kMiB);
  CHECK(arena->GetStats().touched_bytes == 2 * kMiB);
  CHECK_FALSE(IsResident(run + 4 * kMiB));

  arena->SetPrealloc(SIZE_MAX);  // all memory
  while (arena->TouchAhead()) {
  }
  CHECK(arena->GetStats().touched_bytes == 15 * kMiB);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_CASE("free memory and fresh memory are poisoned", "[arena]") {
  const auto arena = MakeArena({.reserve_bytes = 4 * kMiB});
  char* const run = arena->Allocate(2 * kPage);
  CHECK_FALSE(__asan_address_is_poisoned(run + 2 * kPage - 1));
  CHECK(__asan_address_is_poisoned(run + 2 * kPage));
  arena->Free(run, 2 * kPage);
  CHECK(__asan_address_is_poisoned(run));
}
#endif

}  // namespace sluice::store
