// RemovalLog: the keys of about the last 100,000 rows removed from a partition, each with the
// revision of its removal. KV.CHANGES returns them.
//
//   blocks_:  | 256 removals | 256 removals | ... | the last one, being filled |     oldest first
//
// A reader pins blocks under the engine lock and reads them without it: entries of a block never
// change, and later entries are beyond the reader's range.
//
// Thread safety: one caller at a time, which holds the engine lock. Any thread may read a Pinned.
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

  // Ensures that the next `count` calls of Add() do not allocate. REQUIRES: count <= kKept.
  // Errors: std::bad_alloc.
  void Reserve(std::size_t count);
  // REQUIRES: Reserve() was called; revisions do not decrease.
  void Add(Text key, Revision revision) noexcept;

  // Forgets all removals up to this revision. Replaces more than kKept calls of Add().
  void ForgetAll(Revision revision) noexcept;

  // Frees some thousand removals. Returns true when none is left.
  bool TakeApart() noexcept;

  // Removals up to this revision may be missing.
  [[nodiscard]] Revision Forgotten() const { return forgotten_; }

  // The recorded removals after a revision, oldest first.
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
  std::deque<std::shared_ptr<Block>> blocks_;  // the last ones may be reserved and empty
  std::size_t count_ = 0;
  Revision forgotten_ = 0;
};

}  // namespace sluice::store
