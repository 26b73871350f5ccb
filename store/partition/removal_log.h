// RemovalLog: the keys of the rows that were removed from a partition, each with the revision of
// its removal; the last 100,000 or so. What KV.CHANGES tells a poller.
//
//   blocks_:  | 256 removals | 256 removals | ... | the last one, being filled |     oldest first
//
// A reader pins blocks under the engine and reads them without it: what is in a block never
// changes, and what is appended later lies behind what the reader knows.
//
// Thread safety: one caller at a time (the engine); a Pinned may be read on any thread.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "base/text.h"
#include "store/memory/budget.h"

namespace sluice::store {

struct Removal {
  Text key;
  Revision revision = 0;
};

class RemovalLog {
 public:
  static constexpr std::size_t kKept = 100'000;
  static constexpr std::size_t kBlockRemovals = 256;
  using Block = std::array<Removal, kBlockRemovals>;

  explicit RemovalLog(Budget& budget) : budget_(budget) {}
  ~RemovalLog();
  RemovalLog(const RemovalLog&) = delete;
  RemovalLog& operator=(const RemovalLog&) = delete;

  // Makes sure that the next `count` calls of Add() take no memory. REQUIRES: count <= kKept.
  // Errors: std::bad_alloc.
  void Reserve(std::size_t count);
  // REQUIRES: Reserve(); revisions do not fall.
  void Add(Text key, Revision revision) noexcept;

  // Instead of more than kKept at once: nothing up to this revision is remembered.
  void ForgetAll(Revision revision) noexcept;

  // Forgets some thousand removals. True when none is left.
  bool TakeApart() noexcept;

  // Removals up to this revision may be forgotten.
  [[nodiscard]] Revision Forgotten() const { return forgotten_; }

  // The removals after a revision that are remembered, oldest first.
  class Pinned {
   public:
    [[nodiscard]] std::size_t size() const { return count_; }
    // REQUIRES: index < size().
    const Removal& operator[](std::size_t index) const {
      const std::size_t at = first_ + index;
      return (*blocks_[at / kBlockRemovals])[at % kBlockRemovals];
    }

   private:
    friend class RemovalLog;
    std::vector<std::shared_ptr<const Block>> blocks_;
    std::size_t first_ = 0;  // in the first block
    std::size_t count_ = 0;
  };
  // Errors: std::bad_alloc.
  [[nodiscard]] Pinned After(Revision since) const;

 private:
  [[nodiscard]] const Removal& At(std::size_t index) const {
    return (*blocks_[index / kBlockRemovals])[index % kBlockRemovals];
  }
  void ForgetOldest() noexcept;

  Budget& budget_;
  std::deque<std::shared_ptr<Block>> blocks_;  // the last ones may be empty: reserved
  std::size_t count_ = 0;
  Revision forgotten_ = 0;
};

}  // namespace sluice::store
