#include "store/name_table.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/hash.h"

namespace sluice::store {
namespace {

// The first of `slots` with a place >= `place`.
template <typename Slots>
auto FirstFrom(Slots& slots, std::uint64_t place) {
  return std::lower_bound(slots.begin(), slots.end(), place,
                          [](const auto& slot, std::uint64_t p) { return slot.place < p; });
}

}  // namespace

NameTable::NameTable(std::uint64_t seed) : seed_(seed), leaves_(1), directory_{&leaves_.front()} {}

std::uint64_t NameTable::PlaceOf(std::string_view name) const {
  return HashBytes(name, seed_) >> (64 - kPlaceBits);
}

Name* NameTable::Find(std::string_view name) const {
  const std::uint64_t place = PlaceOf(name);
  const std::vector<Slot>& slots = directory_[IndexOf(place)]->slots;
  for (auto it = FirstFrom(slots, place); it != slots.end() && it->place == place; ++it) {
    if (it->name->name.View() == name) {
      return it->name.get();
    }
  }
  return nullptr;
}

Name* NameTable::Add(std::unique_ptr<Name> name) {
  const std::uint64_t place = PlaceOf(name->name.View());
  Leaf* leaf = directory_[IndexOf(place)];
  while (leaf->slots.size() >= kLeafNames && leaf->depth < kDepthMax) {
    Split(*leaf);
    leaf = directory_[IndexOf(place)];
  }
  name->place = place;
  Slot slot;
  slot.place = place;
  const auto it = leaf->slots.insert(FirstFrom(leaf->slots, place), std::move(slot));
  it->name = std::move(name);  // moved after insert(): if it throws, the name is kept
  ++size_;
  return it->name.get();
}

// Moves the upper half of the leaf to a new leaf.
void NameTable::Split(Leaf& leaf) {
  if (leaf.depth == depth_) {
    std::vector<Leaf*> twice;
    twice.reserve(2 * directory_.size());
    for (Leaf* const old : directory_) {
      twice.insert(twice.end(), 2, old);
    }
    directory_.swap(twice);
    ++depth_;
  }
  const std::uint64_t half = kEnd >> (leaf.depth + 1);  // number of places of each leaf
  const std::uint64_t middle = (leaf.slots.front().place & ~(2 * half - 1)) + half;
  const auto begin = FirstFrom(leaf.slots, middle);
  std::vector<Slot> moved;
  moved.reserve(kLeafNames);
  Leaf& upper = leaves_.emplace_back();
  moved.insert(moved.end(), std::make_move_iterator(begin),
               std::make_move_iterator(leaf.slots.end()));
  leaf.slots.erase(begin, leaf.slots.end());
  upper.slots.swap(moved);
  upper.depth = ++leaf.depth;
  const std::size_t run = std::size_t{1} << (depth_ - leaf.depth);
  std::fill_n(directory_.begin() + static_cast<std::ptrdiff_t>(IndexOf(middle)), run, &upper);
}

std::unique_ptr<Name> NameTable::Remove(const Name& name) noexcept {
  std::vector<Slot>& slots = directory_[IndexOf(name.place)]->slots;
  auto it = FirstFrom(slots, name.place);
  while (it->name.get() != &name) {
    ++it;
  }
  std::unique_ptr<Name> removed = std::move(it->name);
  slots.erase(it);
  if (slots.empty()) {
    std::vector<Slot>().swap(slots);
  }
  --size_;
  return removed;
}

void NameTable::Swap(NameTable& other) noexcept {
  std::swap(seed_, other.seed_);
  std::swap(depth_, other.depth_);
  leaves_.swap(other.leaves_);
  directory_.swap(other.directory_);
  std::swap(size_, other.size_);
}

Name* NameTable::Pick(std::uint64_t random) const {
  if (size_ == 0) {
    return nullptr;
  }
  std::size_t i = random % directory_.size();
  while (directory_[i]->slots.empty()) {
    i = (i + 1) % directory_.size();
  }
  const std::vector<Slot>& slots = directory_[i]->slots;
  return slots[(random >> 32) % slots.size()].name.get();
}

std::unique_ptr<Name> NameTable::TakeOne() noexcept {
  while (!leaves_.empty() && leaves_.back().slots.empty()) {
    leaves_.pop_back();
  }
  if (leaves_.empty()) {
    return nullptr;
  }
  std::unique_ptr<Name> name = std::move(leaves_.back().slots.back().name);
  leaves_.back().slots.pop_back();
  --size_;
  return name;
}

}  // namespace sluice::store
