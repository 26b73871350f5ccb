#include "store/removed_names.h"

#include <utility>

namespace sluice::store {
namespace {

// Bookkeeping of one name: its two heap blocks and its table entry.
constexpr std::int64_t kNameOverheadBytes = 192;

constexpr int kNamesAtOnce = 1024;

}  // namespace

std::int64_t NameBytes(const Name& name) {
  return kNameOverheadBytes +
         static_cast<std::int64_t>(name.name.View().size() + name.string.text.View().size());
}

RemovedNames::~RemovedNames() {
  while (!TakeApart()) {
  }
}

void RemovedNames::Add(std::unique_ptr<Name> name) noexcept {
  name->next = std::move(first_);
  first_ = std::move(name);
}

void RemovedNames::Take(RemovedNames& other) noexcept {
  while (other.first_ != nullptr) {
    std::unique_ptr<Name> name = std::move(other.first_);
    other.first_ = std::move(name->next);
    Add(std::move(name));
  }
}

bool RemovedNames::TakeApart() noexcept {
  for (int i = 0; i < kNamesAtOnce && first_ != nullptr; ++i) {
    if (first_->partition != nullptr && !first_->partition->TakeApart()) {
      return false;
    }
    first_->string.blob.AddHolder(-1);
    memory_.GetBudget().Release(NameBytes(*first_));
    first_ = std::move(first_->next);
  }
  return first_ == nullptr;
}

FlushedNames::~FlushedNames() {
  while (!TakeApart()) {
  }
}

void FlushedNames::Take(NameTable& names, RemovedNames& removed) noexcept {
  names_.Swap(names);
  taken_.Take(removed);
}

bool FlushedNames::TakeApart() noexcept {
  for (int i = 0; i < kNamesAtOnce; ++i) {
    if (taken_.Empty()) {
      std::unique_ptr<Name> name = names_.TakeOne();
      if (name == nullptr) {
        return true;
      }
      taken_.Add(std::move(name));
    }
    if (!taken_.TakeApart()) {
      return false;
    }
  }
  return false;
}

}  // namespace sluice::store
