#include "store/memory/run_table.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace sluice::store {
namespace {

// Limits on the search of a list for the tightest run: runs visited, and fitting runs compared.
// Lengths within a class differ by 3 %, so a longer search gains little.
constexpr int kVisitsMax = 256;
constexpr int kFitsMax = 16;

// Calls visit(word, mask) for each word of a bit map that contains bits of the run.
template <typename Visit>
void ForWords(Run run, Visit visit) {
  for (std::size_t at = run.begin; at < run.end();) {
    const std::size_t in_word = std::min<std::size_t>(64 - at % 64, run.end() - at);
    visit(at / 64, (~std::uint64_t{0} >> (64 - in_word)) << (at % 64));
    at += in_word;
  }
}

}  // namespace

RunTable::RunTable(PageIndex pages) noexcept
    : table_(pages * sizeof(Page)),
      touched_map_(pages / 8),
      pages_(static_cast<Page*>(static_cast<void*>(table_.data()))),
      touched_bits_(static_cast<std::uint64_t*>(static_cast<void*>(touched_map_.data()))),
      size_(pages) {
  for (FreeLists& lists : lists_) {
    lists.heads.fill(kNone);
    lists.filled.fill(0);
  }
}

bool RunTable::Mapped() const {
  return pages_ != nullptr && touched_bits_ != nullptr;
}

PageIndex RunTable::Take(PageIndex length) noexcept {
  assert(length > 0);
  PageIndex begin = kNone;
  for (const FreeLists& lists : lists_) {
    begin = begin == kNone ? FindFree(lists, length) : begin;
  }
  if (begin != kNone) {
    SplitFree({begin, length});
  } else {
    begin = TakeFresh(length);
  }
  used_ += begin == kNone ? 0 : length;
  return begin;
}

Run RunTable::Return(Run run, bool touched) noexcept {
  assert(!pages_[run.begin].free && pages_[run.begin].length == run.length);
  used_ -= run.length;
  if (!touched) {
    SetTouched(run, false);
  }
  Run joined = run;
  PageIndex joined_touched = touched ? run.length : 0;
  if (run.begin > 0 && pages_[run.begin - 1].free) {
    joined.begin -= pages_[run.begin - 1].length;
    joined.length += pages_[run.begin - 1].length;
    joined_touched += pages_[joined.begin].touched;
    Unlink(joined.begin);
  }
  if (run.end() < frontier_ && pages_[run.end()].free) {
    joined.length += pages_[run.end()].length;
    joined_touched += pages_[run.end()].touched;
    Unlink(run.end());
  }
  Describe(joined, true);
  pages_[joined.begin].touched = joined_touched;
  Link(joined.begin);
  return joined;
}

Run RunTable::NextTouchedFree(PageIndex from) const noexcept {
  for (PageIndex at = from; at < frontier_; at += pages_[at].length) {
    if (pages_[at].free && pages_[at].touched > 0) {
      return {at, pages_[at].length};
    }
  }
  return {};
}

Run RunTable::LongTouchedFree() const noexcept {
  const std::size_t last = lists_[0].LastFilled();
  if (last == kClasses) {  // rare: all free runs are mostly untouched
    return NextTouchedFree(0);
  }
  const PageIndex head = lists_[0].heads[last];
  return {head, pages_[head].length};
}

Run RunTable::FrontWithTouched(Run run, PageIndex touched) const noexcept {
  if (pages_[run.begin].touched <= touched) {
    return run;
  }
  PageIndex end = run.begin;
  for (PageIndex count = 0; count < touched; ++end) {
    count += IsTouched(end) ? 1 : 0;
  }
  return {run.begin, end - run.begin};
}

PageIndex RunTable::TakeFree(Run run) noexcept {
  const Page& whole = pages_[run.begin];
  const PageIndex touched = whole.length == run.length ? whole.touched : CountTouched(run);
  SplitFree(run);
  used_ += run.length;
  return touched;
}

std::size_t RunTable::ClassOf(PageIndex length) {
  if (length < kExact) {
    return length;
  }
  const auto shift = static_cast<PageIndex>(std::bit_width(length) - std::bit_width(kExact - 1));
  return kExact + (shift - 1) * (kExact / 2) + (length >> shift) - kExact / 2;
}

std::size_t RunTable::FreeLists::FirstFilled(std::size_t from) const {
  for (std::size_t word = from / 64; word < filled.size(); ++word) {
    const std::uint64_t skip = word == from / 64 ? from % 64 : 0;
    const std::uint64_t bits = filled[word] >> skip << skip;
    if (bits != 0) {
      return word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
    }
  }
  return kClasses;
}

std::size_t RunTable::FreeLists::LastFilled() const {
  for (std::size_t word = filled.size(); word-- > 0;) {
    if (filled[word] != 0) {
      return word * 64 + static_cast<std::size_t>(std::bit_width(filled[word])) - 1;
    }
  }
  return kClasses;
}

// In the class of `length` some runs may be too short; in the classes above all fit.
PageIndex RunTable::FindFree(const FreeLists& lists, PageIndex length) const {
  const std::size_t own = ClassOf(length);
  const PageIndex found = Tightest(lists.heads[own], length);
  if (found != kNone) {
    return found;
  }
  const std::size_t above = lists.FirstFilled(own + 1);
  return above == kClasses ? kNone : Tightest(lists.heads[above], length);
}

PageIndex RunTable::Tightest(PageIndex head, PageIndex length) const {
  PageIndex best = kNone;
  int fits = 0;
  for (int visits = 0; head != kNone && visits < kVisitsMax && fits < kFitsMax; ++visits) {
    const PageIndex has = pages_[head].length;
    if (has == length) {
      return head;
    }
    if (has > length) {
      ++fits;
      best = best == kNone || has < pages_[best].length ? head : best;
    }
    head = pages_[head].next;
  }
  return best;
}

// Allocates the front of a free run; the rest, if any, stays free.
void RunTable::SplitFree(Run wanted) {
  const Page whole = pages_[wanted.begin];
  Unlink(wanted.begin);
  PageIndex touched = std::min(whole.touched, wanted.length);
  if (whole.touched < whole.length) {
    touched = whole.touched == 0 ? 0 : CountTouched(wanted);
    SetTouched(wanted, true);
  }
  Describe(wanted, false);
  if (wanted.length < whole.length) {
    Describe({wanted.end(), whole.length - wanted.length}, true);
    pages_[wanted.end()].touched = whole.touched - touched;
    Link(wanted.end());
  }
}

// Moves the frontier as little as possible: uses a free run that ends at the frontier first.
PageIndex RunTable::TakeFresh(PageIndex length) {
  const bool after_free = frontier_ > 0 && pages_[frontier_ - 1].free;
  const PageIndex last = after_free ? pages_[frontier_ - 1].length : 0;
  const PageIndex begin = frontier_ - last;
  if (length > size_ - begin) {
    return kNone;
  }
  if (after_free) {
    SplitFree({begin, std::min(last, length)});
  }
  if (length > last) {
    SetTouched({frontier_, length - last}, true);
    frontier_ = begin + length;
    Describe({begin, length}, false);
  }
  return begin;
}

void RunTable::Describe(Run run, bool free) {
  for (Page* const page : {&pages_[run.begin], &pages_[run.end() - 1]}) {
    page->length = run.length;
    page->free = free;
  }
}

// Inserts at the head: recently freed bytes may still be in the CPU cache.
void RunTable::Link(PageIndex head) {
  Page& page = pages_[head];
  FreeLists& lists = ListsOf(page);
  const std::size_t size_class = ClassOf(page.length);
  page.prev = kNone;
  page.next = lists.heads[size_class];
  if (page.next != kNone) {
    pages_[page.next].prev = head;
  }
  lists.heads[size_class] = head;
  lists.filled[size_class / 64] |= std::uint64_t{1} << (size_class % 64);
  free_touched_ += page.touched;
}

void RunTable::Unlink(PageIndex head) {
  const Page& page = pages_[head];
  FreeLists& lists = ListsOf(page);
  const std::size_t size_class = ClassOf(page.length);
  if (page.next != kNone) {
    pages_[page.next].prev = page.prev;
  }
  if (page.prev != kNone) {
    pages_[page.prev].next = page.next;
  } else {
    lists.heads[size_class] = page.next;
  }
  if (lists.heads[size_class] == kNone) {
    lists.filled[size_class / 64] &= ~(std::uint64_t{1} << (size_class % 64));
  }
  free_touched_ -= page.touched;
}

RunTable::FreeLists& RunTable::ListsOf(const Page& head) {
  return lists_[head.touched >= head.length - head.touched ? 0 : 1];
}

PageIndex RunTable::CountTouched(Run run) const {
  PageIndex count = 0;
  ForWords(run, [&](std::size_t word, std::uint64_t mask) {
    count += static_cast<PageIndex>(std::popcount(touched_bits_[word] & mask));
  });
  return count;
}

void RunTable::SetTouched(Run run, bool touched) {
  ForWords(run, [&](std::size_t word, std::uint64_t mask) {
    touched_bits_[word] = touched ? touched_bits_[word] | mask : touched_bits_[word] & ~mask;
  });
}

}  // namespace sluice::store
