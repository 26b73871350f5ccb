// The arena compared with a slow model of it under random operations. SLUICE_SEED=<n> repeats one
// run.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "store/memory/arena.h"

namespace sluice::store {
namespace {

constexpr std::size_t kPage = Arena::kPageBytes;
constexpr std::size_t kPages = 4096;
constexpr int kOperations = 4000;

// The invariants of an arena, page by page. The first run that an arena returns is at its base.
class ArenaModel {
 public:
  explicit ArenaModel(std::size_t keep_pages) : keep_(keep_pages), touched_(kPages), used_(kPages) {
    auto made = Arena::Make({.reserve_bytes = kPages * kPage, .keep_bytes = keep_pages * kPage});
    REQUIRE(made.ok());
    arena_ = *std::move(made);
    base_ = arena_->Allocate(1);
    std::memcpy(base_, &next_mark_, 1);
    arena_->Free(base_, 1);
    touched_[0] = true;
    frontier_ = 1;
  }

  void Allocate(std::size_t pages) {
    const bool fits = LongestFree() >= pages;
    const std::size_t at_end = frontier_ - FreeBefore(frontier_);
    char* const run = arena_->Allocate(pages * kPage - random_() % kPage);
    if (run == nullptr) {
      Require(!fits && pages > kPages - at_end, "null though there is space");
      return;
    }
    const std::size_t begin = static_cast<std::size_t>(run - base_) / kPage;
    Require(run == base_ + begin * kPage && begin + pages <= kPages, "outside, or not aligned");
    Require(!fits || begin + pages <= frontier_, "the frontier moved though a free run fits");
    Require(fits || begin == at_end, "a free run at the frontier was left behind");
    for (std::size_t page = begin; page < begin + pages; ++page) {
      Require(!used_[page], "overlap");
      used_[page] = touched_[page] = true;
      std::memcpy(base_ + page * kPage, &next_mark_, sizeof(next_mark_));
      std::memcpy(base_ + (page + 1) * kPage - sizeof(next_mark_), &next_mark_, sizeof(next_mark_));
    }
    frontier_ = std::max(frontier_, begin + pages);
    live_[begin] = {.pages = pages, .mark = next_mark_++};
  }

  void Free(std::size_t nth) {
    if (live_.empty()) {
      return;
    }
    const auto entry = std::next(live_.begin(), static_cast<std::ptrdiff_t>(nth % live_.size()));
    const auto [begin, run] = *entry;
    live_.erase(entry);
    CheckMarks(begin, run);
    arena_->Free(base_ + begin * kPage, run.pages * kPage);
    for (std::size_t page = begin; page < begin + run.pages; ++page) {
      used_[page] = false;
    }
  }

  // Gives back runs until no more is free than must be kept. The arena chooses the run of each
  // step: the pages show it, since pages given back read as zero.
  void Trim() {
    while (FreeTouched() > keep_) {
      const std::size_t excess = FreeTouched() - keep_;
      Require(arena_->Trim(), "did not trim");
      std::size_t begin = 0;
      while (begin < frontier_ && !GivenBack(begin)) {
        ++begin;
      }
      Require(begin < frontier_, "gave nothing back");
      for (; begin > 0 && !used_[begin - 1]; --begin) {
      }
      std::size_t given_back = 0;
      for (std::size_t page = begin; page < frontier_ && !used_[page] && given_back < excess;
           ++page) {
        if (touched_[page]) {
          Require(GivenBack(page), "left a page at the front of the run");
          touched_[page] = false;
          ++given_back;
        }
      }
      CheckStats();
      CheckFreePages();
    }
    Require(!arena_->Trim(), "trimmed memory that must be kept");
  }

  void Purge() {
    Require(arena_->Purge() == FreeTouched() * kPage, "purged a wrong number of pages");
    for (std::size_t page = 0; page < frontier_; ++page) {
      touched_[page] = used_[page];
    }
    CheckFreePages();
  }

  void SetKeep(std::size_t pages) {
    keep_ = pages;
    arena_->SetKeep(pages * kPage);
  }

  void CheckStats() const {
    const Arena::Stats stats = arena_->GetStats();
    const auto used = static_cast<std::size_t>(std::count(used_.begin(), used_.end(), true));
    Require(stats.used_bytes == used * kPage, "used_bytes");
    Require(stats.free_bytes == FreeTouched() * kPage, "free_bytes");
    Require(stats.touched_bytes == 0 && stats.reserved_bytes == kPages * kPage, "other stats");
  }

  void FreeAllAndTakeWhole() {
    while (!live_.empty()) {
      Free(random_());
      CheckStats();
    }
    Require(arena_->Allocate(kPages * kPage) == base_, "all is free but not in one run");
  }

  [[nodiscard]] std::minstd_rand& Random() { return random_; }

 private:
  struct Live {
    std::size_t pages;
    std::uint64_t mark;
  };

  static std::ptrdiff_t Signed(std::size_t page) { return static_cast<std::ptrdiff_t>(page); }
  static void Require(bool holds, const char* what) {
    if (!holds) {
      FAIL(what);  // a REQUIRE per page would take most of the test's time
    }
  }

  void CheckMarks(std::size_t begin, const Live& run) const {
    for (std::size_t page = begin; page < begin + run.pages; ++page) {
      const char* const bytes = base_ + page * kPage;
      Require(std::memcmp(bytes, &run.mark, sizeof(run.mark)) == 0, "contents changed");
      Require(std::memcmp(bytes + kPage - sizeof(run.mark), &run.mark, sizeof(run.mark)) == 0,
              "contents changed at a page's end");
    }
  }

  // A free run is poisoned under AddressSanitizer.
  [[nodiscard]] __attribute__((no_sanitize("address"))) bool IsZero(std::size_t page) const {
    return *reinterpret_cast<const volatile std::uint64_t*>(base_ + page * kPage) == 0;
  }
  [[nodiscard]] bool GivenBack(std::size_t page) const {
    return touched_[page] && !used_[page] && IsZero(page);
  }

  // A free page that counts as touched has kept its contents; no other page has.
  void CheckFreePages() const {
    for (std::size_t page = 0; page < frontier_; ++page) {
      Require(used_[page] || IsZero(page) != touched_[page], "touched and given back differ");
    }
  }

  [[nodiscard]] std::size_t FreeTouched() const {
    std::size_t count = 0;
    for (std::size_t page = 0; page < frontier_; ++page) {
      count += touched_[page] && !used_[page] ? 1 : 0;
    }
    return count;
  }

  [[nodiscard]] std::size_t FreeBefore(std::size_t end) const {
    std::size_t count = 0;
    while (count < end && !used_[end - count - 1]) {
      ++count;
    }
    return count;
  }

  [[nodiscard]] std::size_t LongestFree() const {
    std::size_t longest = 0;
    for (std::size_t end = 1; end <= frontier_; ++end) {
      longest = end == frontier_ || used_[end] ? std::max(longest, FreeBefore(end)) : longest;
    }
    return longest;
  }

  std::unique_ptr<Arena> arena_;
  char* base_ = nullptr;
  std::size_t keep_;
  std::size_t frontier_ = 0;
  std::vector<bool> touched_;  // pages below the frontier that are not given back
  std::vector<bool> used_;
  std::map<std::size_t, Live> live_;
  std::uint64_t next_mark_ = 1;
  std::minstd_rand random_;
};

// Mostly short runs, some as large as the arena.
std::size_t SomePages(std::minstd_rand& random) {
  const std::size_t scale = std::size_t{1} << (random() % 11);
  return 1 + random() % scale;
}

void RunModel(unsigned seed) {
  ArenaModel model(seed % 2 == 0 ? kPages : 500);
  model.Random().seed(seed);
  for (int i = 0; i < kOperations; ++i) {
    const auto choice = model.Random()() % 100;
    if (choice < 48) {
      model.Allocate(SomePages(model.Random()));
    } else if (choice < 96) {
      model.Free(model.Random()());
    } else if (choice < 97) {
      model.Purge();
    } else if (choice < 98) {
      model.SetKeep(model.Random()() % kPages);
    } else {
      model.Trim();
    }
    model.CheckStats();
  }
  model.FreeAllAndTakeWhole();
}

}  // namespace

TEST_CASE("the arena agrees with a page-by-page model", "[arena]") {
  const char* const given = std::getenv("SLUICE_SEED");
  const unsigned first = given == nullptr ? 1 : static_cast<unsigned>(std::atoi(given));
  const unsigned last = given == nullptr ? 4 : first;
  for (unsigned seed = first; seed <= last; ++seed) {
    CAPTURE(seed);
    RunModel(seed);
  }
}

}  // namespace sluice::store
