#include "store/partition/key_index.h"

#include <utility>

namespace sluice::store {
namespace {

constexpr std::size_t kKeysPerTable = 1024;  // on average, when a table is split
constexpr int kTablesAtOnce = 4;             // freed per TakeApart()

}  // namespace

// Tables before the next one to split have already been split in this round, so one more bit
// selects among them.
std::size_t KeyIndex::TableOf(std::string_view key) const {
  // Different bits from those that a table itself uses.
  const std::size_t bits = hash_(key) >> 20;
  const std::size_t table = bits & (2 * round_ - 1);
  return table < tables_.size() ? table : bits & (round_ - 1);
}

RowIndex KeyIndex::Find(std::string_view key) const {
  if (tables_.empty()) {
    return kNoRow;
  }
  const Table& table = *tables_[TableOf(key)];
  const auto it = table.find(key);
  return it == table.end() ? kNoRow : it->second;
}

void KeyIndex::Add(Text key, RowIndex index) {
  if (size_ >= tables_.size() * kKeysPerTable) {
    Grow();
  }
  tables_[TableOf(key.View())]->emplace(std::move(key), index);
  ++size_;
}

void KeyIndex::Remove(std::string_view key) noexcept {
  if (!tables_.empty()) {
    size_ -= tables_[TableOf(key)]->erase(key);
  }
}

bool KeyIndex::TakeApart() noexcept {
  for (int i = 0; i < kTablesAtOnce && !tables_.empty(); ++i) {
    tables_.pop_back();
  }
  size_ = 0;
  return tables_.empty();
}

// Splits one table in two. Everything that can fail is done before the table is replaced.
void KeyIndex::Grow() {
  auto added = std::make_unique<Table>(0, hash_);
  if (tables_.empty()) {
    tables_.push_back(std::move(added));
    return;
  }
  const std::size_t split = tables_.size() - round_;
  const Table& old = *tables_[split];
  auto kept = std::make_unique<Table>(old.size() / 2, hash_);
  added->reserve(old.size() / 2);
  for (const auto& [key, index] : old) {
    const bool moves = (hash_(key) >> 20 & round_) != 0;
    (moves ? added : kept)->emplace(key, index);
  }
  tables_.push_back(std::move(added));
  tables_[split] = std::move(kept);
  if (tables_.size() == 2 * round_) {
    round_ *= 2;
  }
}

}  // namespace sluice::store
