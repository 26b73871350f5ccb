// Store: strings.
#include <algorithm>
#include <utility>

#include "store/recorder.h"
#include "store/store_tables.h"

namespace sluice::store {
namespace {

// Growth of the name's charge; large values are charged separately, by their blobs.
std::int64_t GrowthOf(const Name& name, const StringWrite& write) {
  return static_cast<std::int64_t>(write.value.text.View().size()) -
         static_cast<std::int64_t>(name.string.text.View().size());
}

}  // namespace

Result<bool> Store::SetStrings(std::span<StringWrite> writes, SetIf condition) {
  Tables& tables = *tables_;
  for (const StringWrite& write : writes) {
    const Name* const found = FindToWrite(write.key);
    if ((condition == SetIf::kMissing && found != nullptr) ||
        (condition == SetIf::kPresent && found == nullptr)) {
      return false;
    }
    if (found != nullptr && found->partition != nullptr) {
      return WrongType();
    }
  }
  tables.reserved.clear();
  tables.reserved.reserve(writes.size());
  tables.fresh.reserve(writes.size());
  struct Guard {  // on failure, removes names that this call created
    Store* store;
    ~Guard() {
      for (std::vector<Name*>& fresh = store->tables_->fresh; !fresh.empty(); fresh.pop_back()) {
        RemovedNames(store->memory_).Add(store->Unlink(*fresh.back()));
      }
    }
  } const guard{this};
  std::int64_t growth = 0;  // upper bound
  for (const StringWrite& write : writes) {
    Name* name = tables.names.Find(write.key);
    if (name == nullptr) {
      TRY_ASSIGN(name, Insert(write.key, nullptr));
      tables.fresh.push_back(name);
    }
    tables.reserved.push_back(name);
    growth += std::max<std::int64_t>(GrowthOf(*name, write), 0);
  }
  Record record(recorder_);
  TRY(record.Make([&](Recorder& recorder) { return recorder.OnSetStrings(writes); }));
  if (!memory_.GetBudget().TryCharge(growth)) {
    return OutOfMemory();
  }
  record.Keep();
  tables.fresh.clear();
  for (std::size_t i = 0; i < writes.size(); ++i) {
    growth -= GrowthOf(*tables.reserved[i], writes[i]);
    PutString(*tables.reserved[i], writes[i]);
  }
  memory_.GetBudget().Release(growth);
  return true;
}

void Store::PutString(Name& name, StringWrite& write) noexcept {
  name.string.blob.AddHolder(-1);
  name.string = std::move(write.value);
  name.string.blob.AddHolder(1);
  if (write.expires_ms != StringWrite::kKeepExpiry) {
    PutExpiry(name, write.expires_ms);
  }
  Changed(name.name.View());
}

Result<std::optional<StringValue>> Store::GetString(std::string_view key) {
  const Name* const found = Find(key);
  if (found == nullptr) {
    return std::optional<StringValue>();
  }
  if (found->partition != nullptr) {
    return WrongType();
  }
  return std::optional<StringValue>(found->string);
}

}  // namespace sluice::store
