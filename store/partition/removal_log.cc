#include "store/partition/removal_log.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace sluice::store {
namespace {

std::int64_t BytesOf(const Removal& removal) {
  return kTextOverheadBytes + static_cast<std::int64_t>(removal.key.View().size());
}

}  // namespace

RemovalLog::~RemovalLog() {
  ForgetAll(0);
}

void RemovalLog::ForgetAll(Revision revision) noexcept {
  while (!blocks_.empty()) {
    ForgetOldest();
  }
  forgotten_ = revision;
}

bool RemovalLog::TakeApart() noexcept {
  constexpr int kBlocks = 16;
  for (int i = 0; i < kBlocks && !blocks_.empty(); ++i) {
    ForgetOldest();
  }
  return blocks_.empty();
}

void RemovalLog::Reserve(std::size_t count) {
  while (blocks_.size() * kBlockRemovals < count_ + count) {
    blocks_.push_back(std::make_shared<Block>());
    budget_.Charge(sizeof(Block));
  }
}

void RemovalLog::Add(Text key, Revision revision) noexcept {
  assert(count_ < blocks_.size() * kBlockRemovals);
  Removal& removal = (*blocks_[count_ / kBlockRemovals])[count_ % kBlockRemovals];
  removal = {.key = std::move(key), .revision = revision};
  ++count_;
  budget_.Charge(BytesOf(removal));
  if (count_ >= kKept + kBlockRemovals) {
    ForgetOldest();
  }
}

// Removes the oldest block, full or partly filled.
void RemovalLog::ForgetOldest() noexcept {
  const std::size_t filled = std::min(count_, kBlockRemovals);
  for (std::size_t i = 0; i < filled; ++i) {
    budget_.Release(BytesOf(At(i)));
  }
  forgotten_ = filled > 0 ? At(filled - 1).revision : forgotten_;
  count_ -= filled;
  budget_.Release(sizeof(Block));
  blocks_.pop_front();
}

RemovalLog::Pinned RemovalLog::After(Revision since) const {
  std::size_t first = 0;  // binary search: revisions do not decrease
  for (std::size_t end = count_; first < end;) {
    const std::size_t middle = first + (end - first) / 2;
    if (At(middle).revision > since) {
      end = middle;
    } else {
      first = middle + 1;
    }
  }
  Pinned pinned;
  pinned.count_ = count_ - first;
  pinned.first_ = first % kBlockRemovals;
  const auto begin = static_cast<std::ptrdiff_t>(first / kBlockRemovals);
  const auto end = static_cast<std::ptrdiff_t>((count_ + kBlockRemovals - 1) / kBlockRemovals);
  if (begin < end) {
    pinned.blocks_.assign(blocks_.begin() + begin, blocks_.begin() + end);
  }
  return pinned;
}

}  // namespace sluice::store
