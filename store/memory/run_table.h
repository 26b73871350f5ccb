// RunTable: records which pages of a range are in allocated runs, in free runs, or never used. It
// handles page numbers only; Arena provides the memory.
//
//   frontier     the first page that was never in a run; all later pages were not either
//   touched      a page that the system has backed with memory. Every page in use counts as touched
//
// The entries of its first and last page describe a run, so adjacent runs are found without a
// search. Free runs are in lists by size class; one bit per class marks the lists that are not
// empty.
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

  // A table of `pages` pages. REQUIRES: pages is a multiple of 64, 64..kPagesMax.
  explicit RunTable(PageIndex pages) noexcept;
  [[nodiscard]] bool Mapped() const;  // false: mapping the table failed; then call nothing else

  // Allocates a run of `length` pages. Returns its first page, or kNone if no run fits.
  // REQUIRES: length > 0.
  [[nodiscard]] PageIndex Take(PageIndex length) noexcept;
  // Frees a run, touched or not. Returns the joined free run that contains it.
  // REQUIRES: `run` is a whole run from Take() or TakeFree().
  Run Return(Run run, bool touched) noexcept;

  // The first free run with touched pages that begins at `from` or later; length 0 if none.
  // REQUIRES: a run begins at `from`, or `from` is the frontier.
  [[nodiscard]] Run NextTouchedFree(PageIndex from) const noexcept;
  // Returns a long free run with touched pages, without a search. REQUIRES: one exists.
  [[nodiscard]] Run LongTouchedFree() const noexcept;
  // The shortest front of a free run with `touched` touched pages; the whole run if it has no more
  // touched pages than that.
  [[nodiscard]] Run FrontWithTouched(Run run, PageIndex touched) const noexcept;
  // Allocates a free run or its front. Returns the number of allocated pages that were touched.
  PageIndex TakeFree(Run run) noexcept;

  [[nodiscard]] PageIndex Size() const { return size_; }
  [[nodiscard]] PageIndex Frontier() const { return frontier_; }
  [[nodiscard]] PageIndex Used() const { return used_; }
  [[nodiscard]] PageIndex FreeTouched() const { return free_touched_; }

 private:
  struct Page {
    PageIndex length;   // of the run
    PageIndex touched;  // number of touched pages of the run; first page only
    PageIndex prev;     // in its free list; first page of a free run only
    PageIndex next;
    bool free;
  };
  // Each length below kExact has its own size class; above, each power of two has kExact / 2.
  static constexpr PageIndex kExact = 64;
  static constexpr std::size_t kClasses = 896;
  static std::size_t ClassOf(PageIndex length);

  struct FreeLists {
    std::array<PageIndex, kClasses> heads;
    std::array<std::uint64_t, kClasses / 64> filled;  // one bit per class
    [[nodiscard]] std::size_t FirstFilled(std::size_t from) const;
    [[nodiscard]] std::size_t LastFilled() const;  // kClasses if all are empty
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
  std::uint64_t* touched_bits_;  // one bit per page below the frontier
  PageIndex size_;
  PageIndex frontier_ = 0;
  PageIndex used_ = 0;
  PageIndex free_touched_ = 0;
  std::array<FreeLists, 2> lists_;  // mostly touched runs, other runs
};

}  // namespace sluice::store
