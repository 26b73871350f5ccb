#include "store/arena.h"

#include <array>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/mman.h>

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

TEST_CASE("a run is page-aligned, whole pages, and reused when it is free again") {
  const auto arena = MakeArena({.reserve_bytes = 4 * kMiB});
  CHECK(Arena::RunBytes(0) == kPage);
  CHECK(Arena::RunBytes(1) == kPage);
  CHECK(Arena::RunBytes(kPage) == kPage);
  CHECK(Arena::RunBytes(kPage + 1) == 2 * kPage);

  char* const first = arena->Allocate(0);
  char* const second = arena->Allocate(kPage + 1);
  REQUIRE(first != nullptr);
  REQUIRE(second != nullptr);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % (2 * kMiB) == 0);
  CHECK(second == first + kPage);
  CHECK(arena->GetStats().used_bytes == 3 * kPage);

  std::memset(second, 7, 2 * kPage);
  arena->Free(second, kPage + 1);
  CHECK(arena->GetStats().free_bytes == 2 * kPage);
  CHECK(arena->Allocate(2 * kPage) == second);
  CHECK(second[2 * kPage - 1] == 7);  // kept, not given back
}

TEST_CASE("the tightest free run is taken, and free neighbours are one run") {
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
  arena->Free(walls[0], 1);  // joins the 200 with the wall; what is left of the 90 is not beside it
  CHECK(arena->Allocate(201 * kPage) == runs[0]);
}

TEST_CASE("where nothing fits there is null, and after all is freed the whole range is one run") {
  const auto arena = MakeArena({.reserve_bytes = 2 * kMiB});
  CHECK(arena->Allocate(SIZE_MAX) == nullptr);
  CHECK(arena->Allocate(2 * kMiB + 1) == nullptr);
  std::vector<char*> pages;
  while (char* const page = arena->Allocate(kPage)) {
    pages.push_back(page);
  }
  REQUIRE(pages.size() == 2 * kMiB / kPage);
  for (std::size_t i = 0; i < pages.size(); ++i) {  // every other one first: each join is met
    arena->Free(pages[i * 2 % pages.size() + i * 2 / pages.size()], kPage);
  }
  CHECK(arena->GetStats().used_bytes == 0);
  CHECK(arena->Allocate(2 * kMiB) == pages[0]);
  CHECK(arena->Allocate(1) == nullptr);
}

TEST_CASE("a free run at the frontier grows instead of being left behind") {
  const auto arena = MakeArena({.reserve_bytes = 4 * kMiB});
  char* const first = arena->Allocate(kMiB);
  arena->Free(first, kMiB);
  CHECK(arena->Allocate(3 * kMiB) == first);
  CHECK(arena->GetStats().free_bytes == 0);
  CHECK(arena->Allocate(kMiB) != nullptr);
}

TEST_CASE("purge gives free pages back, leaves used ones, and touched runs are preferred after") {
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

TEST_CASE("what is freed beyond keep_bytes goes back at once") {
  const auto arena = MakeArena({.reserve_bytes = 16 * kMiB, .keep_bytes = kMiB});
  char* const kept = arena->Allocate(kMiB);
  char* const given_back = arena->Allocate(kMiB);
  std::memset(kept, 1, kMiB);
  std::memset(given_back, 2, kMiB);
  arena->Free(kept, kMiB);
  arena->Free(given_back, kMiB);
  CHECK(arena->GetStats().free_bytes == kMiB);
  CHECK(IsResident(kept));
  CHECK_FALSE(IsResident(given_back));

  char* const both = arena->Allocate(2 * kMiB);  // one free run, half of it touched
  REQUIRE(both == kept);
  CHECK(arena->GetStats().free_bytes == 0);
  arena->SetKeep(SIZE_MAX);
  arena->Free(both, 2 * kMiB);
  CHECK(arena->GetStats().free_bytes == 2 * kMiB);
}

TEST_CASE("TouchAhead keeps prealloc_bytes of memory ready, and Purge what is beyond them") {
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

  arena->SetPrealloc(SIZE_MAX);  // as much as there is
  while (arena->TouchAhead()) {
  }
  CHECK(arena->GetStats().touched_bytes == 15 * kMiB);
}

TEST_CASE("threads may allocate, free, purge and touch at once") {
  const auto arena = MakeArena({.reserve_bytes = 64 * kMiB, .prealloc_bytes = kMiB});
  std::atomic<int> damaged = 0;
  const auto work = [&](unsigned seed) {
    std::minstd_rand random(seed);
    for (int i = 0; i < 2000; ++i) {
      const std::size_t bytes = 1 + random() % (256 * 1024);
      char* const run = arena->Allocate(bytes);
      if (run == nullptr) {
        ++damaged;  // four threads hold 1 MiB at most
        return;
      }
      std::memset(run, static_cast<int>(seed), bytes);
      const bool same = run[0] == static_cast<char>(seed) && run[bytes / 2] == run[bytes - 1] &&
                        run[bytes - 1] == static_cast<char>(seed);
      damaged += same ? 0 : 1;
      arena->Free(run, bytes);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 3; ++seed) {
    threads.emplace_back(work, seed);
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 200; ++i) {
      arena->TouchAhead();
      arena->Purge();
    }
  });
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(damaged == 0);
  CHECK(arena->GetStats().used_bytes == 0);
  CHECK(arena->Allocate(64 * kMiB) != nullptr);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_CASE("free memory and fresh memory are poisoned") {
  const auto arena = MakeArena({.reserve_bytes = 4 * kMiB});
  char* const run = arena->Allocate(2 * kPage);
  CHECK_FALSE(__asan_address_is_poisoned(run + 2 * kPage - 1));
  CHECK(__asan_address_is_poisoned(run + 2 * kPage));
  arena->Free(run, 2 * kPage);
  CHECK(__asan_address_is_poisoned(run));
}
#endif

}  // namespace sluice::store
