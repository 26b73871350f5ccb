// RunTable: which pages of a range are in runs given out, which in free runs, which were never
// used. It knows pages by their number only; Arena gives them memory.
//
//   frontier     where the pages begin that were in no run yet
//   touched      a page that the system has backed with memory. Every page in use counts as touched
//
// Each run is described by the entries of its first and its last page, so that the neighbours of a
// run are found without a search. Free runs hang in lists by size class, a bit a class telling
// which are not empty.
//
// Thread safety: one caller at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/mapping.h"

namespace sluice::store {

using PageIndex = std::uint32_t;

struct Run {
  PageIndex begin = 0;
  PageIndex length = 0;
  [[nodiscard]] PageIndex end() const { return begin + length; }
};

class RunTable {
 public:
  static constexpr PageIndex kNone = UINT32_MAX;
  static constexpr PageIndex kPagesMax = PageIndex{1} << 31;

  // Of `pages` pages. REQUIRES: pages is a multiple of 64, 64..kPagesMax.
  explicit RunTable(PageIndex pages) noexcept;
  [[nodiscard]] bool Mapped()
      const;  // false: the system had no room; then nothing else may be called

  // The first of `length` pages that are in use now; kNone where there is no such run.
  // REQUIRES: length > 0.
  [[nodiscard]] PageIndex Take(PageIndex length) noexcept;
  // A run in use becomes free, touched or not. Returns the free run it is part of now.
  // REQUIRES: Take() or TakeFree() gave the run, whole.
  Run Return(Run run, bool touched) noexcept;

  // The first free run with touched pages that begins at `from` or later; length 0: none.
  // REQUIRES: a run begins at `from`, or it is the frontier.
  [[nodiscard]] Run NextTouchedFree(PageIndex from) const noexcept;
  // A long free run with touched pages, without a search. REQUIRES: there is one.
  [[nodiscard]] Run LongTouchedFree() const noexcept;
  // The front of a free run: as short as it can be with `touched` pages that are touched; all of it
  // where it has no more than that.
  [[nodiscard]] Run FrontWithTouched(Run run, PageIndex touched) const noexcept;
  // Takes a free run, or its front. Returns how many of the pages taken were touched.
  PageIndex TakeFree(Run run) noexcept;

  [[nodiscard]] PageIndex Size() const { return size_; }
  [[nodiscard]] PageIndex Frontier() const { return frontier_; }
  [[nodiscard]] PageIndex Used() const { return used_; }
  [[nodiscard]] PageIndex FreeTouched() const { return free_touched_; }

 private:
  struct Page {
    PageIndex length;   // of the run
    PageIndex touched;  // pages of the run; first page only
    PageIndex prev;     // in its list; first page of a free run only
    PageIndex next;
    bool free;
  };
  // Lengths below kExact have a size class each; from there on, each power of two has kExact / 2.
  static constexpr PageIndex kExact = 64;
  static constexpr std::size_t kClasses = 896;
  static std::size_t ClassOf(PageIndex length);

  struct FreeLists {
    std::array<PageIndex, kClasses> heads;
    std::array<std::uint64_t, kClasses / 64> filled;  // a bit a class
    [[nodiscard]] std::size_t FirstFilled(std::size_t from) const;
    [[nodiscard]] std::size_t LastFilled() const;  // kClasses: none is
  };

  [[nodiscard]] PageIndex FindFree(const FreeLists& lists, PageIndex length) const;
  [[nodiscard]] PageIndex Tightest(PageIndex head, PageIndex length) const;
  void SplitFree(Run wanted);
  [[nodiscard]] PageIndex TakeFresh(PageIndex length);
  void Describe(Run run, bool free);
  void Link(PageIndex head);
  void Unlink(PageIndex head);
  [[nodiscard]] FreeLists& ListsOf(const Page& head);
  [[nodiscard]] PageIndex CountTouched(Run run) const;
  [[nodiscard]] bool IsTouched(PageIndex page) const {
    return (touched_bits_[page / 64] >> (page % 64) & 1) != 0;
  }
  void SetTouched(Run run, bool touched);

  Mapping table_;
  Mapping touched_map_;
  Page* pages_;
  std::uint64_t* touched_bits_;  // a bit a page below the frontier
  PageIndex size_;
  PageIndex frontier_ = 0;
  PageIndex used_ = 0;
  PageIndex free_touched_ = 0;
  std::array<FreeLists, 2> lists_;  // runs that are mostly touched, and the others
};

}  // namespace sluice::store
