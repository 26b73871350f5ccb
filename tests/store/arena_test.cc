#include "store/memory/arena.h"

#include <cstring>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

namespace sluice::store {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::unique_ptr<Arena> MakeArena(std::size_t reserve_bytes) {
  auto arena = Arena::Make({.reserve_bytes = reserve_bytes});
  REQUIRE(arena.ok());
  return *std::move(arena);
}

// Allocated runs by address: size, and the byte that fills them.
struct Run {
  std::size_t bytes;
  char fill;
};

void Fill(char* run, std::size_t bytes, char fill) {
  run[0] = fill;
  run[bytes / 2] = fill;
  run[bytes - 1] = fill;
}

bool Intact(const char* run, const Run& expected) {
  return run[0] == expected.fill && run[expected.bytes / 2] == expected.fill &&
         run[expected.bytes - 1] == expected.fill;
}

TEST_CASE("a run has whole pages and is writable to its end", "[arena]") {
  const auto arena = MakeArena(16 * kMiB);
  CHECK(Arena::RunBytes(0) == 4096);
  CHECK(Arena::RunBytes(4096) == 4096);
  CHECK(Arena::RunBytes(4097) == 8192);
  char* const run = arena->Allocate(5000);
  REQUIRE(run != nullptr);
  CHECK(reinterpret_cast<std::uintptr_t>(run) % Arena::kPageBytes == 0);
  std::memset(run, 7, 8192);
  CHECK(arena->GetStats().used_bytes == 8192);
  arena->Free(run, 5000);
  CHECK(arena->GetStats().used_bytes == 0);
  CHECK(arena->GetStats().free_bytes == 8192);
}

TEST_CASE("freed memory is used again before fresh memory", "[arena]") {
  const auto arena = MakeArena(64 * kMiB);
  char* const first = arena->Allocate(kMiB);
  char* const barrier = arena->Allocate(4096);
  arena->Free(first, kMiB);
  CHECK(arena->Allocate(kMiB) == first);
  arena->Free(first, kMiB);
  CHECK(arena->Allocate(kMiB / 2) == first);  // split
  CHECK(arena->Allocate(kMiB / 2) == first + kMiB / 2);
  arena->Free(barrier, 4096);
}

TEST_CASE("an exhausted arena returns null and keeps working", "[arena]") {
  const auto arena = MakeArena(4 * kMiB);
  CHECK(arena->Allocate(1000 * kMiB) == nullptr);
  CHECK(arena->Allocate(SIZE_MAX) == nullptr);
  std::vector<char*> runs;
  while (char* const run = arena->Allocate(64 * 1024)) {
    runs.push_back(run);
  }
  CHECK(runs.size() == 4 * kMiB / (64 * 1024));
  for (char* const run : runs) {
    arena->Free(run, 64 * 1024);
  }
  char* const all = arena->Allocate(4 * kMiB);  // adjacent runs were merged
  CHECK(all != nullptr);
  arena->Free(all, 4 * kMiB);
}

// The slow model: a map of the allocated runs. Mutations tried, each of which failed the test: not
// merging with the left neighbor, freeing one page less, returning an overlapping run.
TEST_CASE("the arena agrees with a slow model over random operations", "[arena]") {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    constexpr std::size_t kReserve = 64 * kMiB;
    const auto arena = MakeArena(kReserve);
    std::map<char*, Run> live;
    std::size_t used = 0;
    for (int step = 0; step < 4000; ++step) {
      if (random() % 100 == 0) {
        arena->Purge();
        REQUIRE(arena->GetStats().free_bytes == 0);
      }
      if (live.empty() || random() % 100 < 55) {
        const std::size_t bytes =
            random() % 8 == 0 ? random() % (4 * kMiB) + 1 : random() % 40000 + 1;
        char* const run = arena->Allocate(bytes);
        if (run == nullptr) {
          REQUIRE(used + Arena::RunBytes(bytes) > kReserve / 4);  // only if it is nearly full
          continue;
        }
        const auto next = live.lower_bound(run);
        REQUIRE((next == live.end() || run + Arena::RunBytes(bytes) <= next->first));
        REQUIRE((next == live.begin() ||
                 std::prev(next)->first + Arena::RunBytes(std::prev(next)->second.bytes) <= run));
        const Run made = {.bytes = bytes, .fill = static_cast<char>(random())};
        Fill(run, bytes, made.fill);
        live.emplace(run, made);
        used += Arena::RunBytes(bytes);
      } else {
        auto it = live.begin();
        std::advance(it, random() % live.size());
        REQUIRE(Intact(it->first, it->second));
        arena->Free(it->first, it->second.bytes);
        used -= Arena::RunBytes(it->second.bytes);
        live.erase(it);
      }
      REQUIRE(arena->GetStats().used_bytes == used);
    }
    for (const auto& [run, expected] : live) {
      REQUIRE(Intact(run, expected));
      arena->Free(run, expected.bytes);
    }
    CHECK(arena->GetStats().used_bytes == 0);
    char* const all = arena->Allocate(kReserve);
    CHECK(all != nullptr);
    arena->Free(all, kReserve);
  }
}

TEST_CASE("memory is touched ahead up to the limit", "[arena]") {
  auto made = Arena::Make({.reserve_bytes = 64 * kMiB, .prealloc_bytes = 6 * kMiB});
  REQUIRE(made.ok());
  while ((*made)->TouchAhead()) {
  }
  CHECK((*made)->GetStats().touched_bytes >= 6 * kMiB);
  CHECK((*made)->GetStats().touched_bytes <= 8 * kMiB);
}

TEST_CASE("threads may allocate, free and touch concurrently", "[arena]") {
  auto made = Arena::Make({.reserve_bytes = 256 * kMiB, .prealloc_bytes = 4 * kMiB});
  REQUIRE(made.ok());
  Arena& arena = **made;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 3; ++seed) {
    threads.emplace_back([&arena, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 2000; ++i) {
        const std::size_t bytes = random() % 100000 + 1;
        if (char* const run = arena.Allocate(bytes)) {
          Fill(run, bytes, static_cast<char>(seed));
          arena.Free(run, bytes);
        }
        arena.TouchAhead();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(arena.GetStats().used_bytes == 0);
}

}  // namespace
}  // namespace sluice::store
