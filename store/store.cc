#include "store/store.h"

#include <utility>

#include <boost/unordered/unordered_flat_map.hpp>
#include <fmt/format.h>

#include "store/hash.h"
#include "store/partition.h"

namespace sluice::store {
namespace {

// Bookkeeping of one name: its heap block and its place in the map.
constexpr std::int64_t kNameOverheadBytes = 96;

Status WrongType() {
  return Status(Code::kWrongType, "Operation against a key holding the wrong kind of value");
}

Status NoPartition(std::string_view name) {
  return Status(Code::kNoPartition, fmt::format("partition '{}' does not exist", name));
}

// What a name stands for: a partition, or else a string.
struct Entry {
  std::unique_ptr<Partition> partition;
  StringValue string;
};

std::int64_t BytesOf(std::string_view name, const Entry& entry) {
  return kNameOverheadBytes +
         static_cast<std::int64_t>(name.size() + entry.string.text.View().size());
}

}  // namespace

struct Store::Tables {
  explicit Tables(std::uint64_t seed) : by_name(0, TextHash{seed}) {}
  boost::unordered_flat_map<Text, Entry, TextHash, TextEqual> by_name;
  WritePlan plan;
};

Store::Store(Memory& memory, std::uint64_t seed)
    : memory_(memory), seed_(seed), tables_(std::make_unique<Tables>(seed)) {}

Store::~Store() {
  Flush();
}

Result<Partition*> Store::FindPartition(std::string_view name) const {
  const auto it = tables_->by_name.find(name);
  if (it == tables_->by_name.end()) {
    return static_cast<Partition*>(nullptr);
  }
  if (it->second.partition == nullptr) {
    return WrongType();
  }
  return it->second.partition.get();
}

void Store::Erase(std::string_view name) noexcept {
  const auto it = tables_->by_name.find(name);
  memory_.GetBudget().Release(BytesOf(name, it->second));
  tables_->by_name.erase(it);
}

Status Store::Write(const WriteRequest& request, WriteResult& result) {
  result.new_rows = 0;
  result.indexes.clear();
  result.indexes.reserve(request.rows.size());
  TRY_ASSIGN(Partition * partition, FindPartition(request.partition));
  if (partition == nullptr && request.rows.kind == RowSet::Kind::kIndexes) {
    return NoPartition(request.partition);
  }
  struct Guard {  // a partition that this write makes goes with it
    Store* store = nullptr;
    std::string_view name;
    ~Guard() {
      if (store != nullptr) {
        store->Erase(name);
      }
    }
  } guard;
  if (partition == nullptr) {
    auto made = std::make_unique<Partition>(Text(request.partition), memory_, seed_);
    partition = made.get();
    TRY(Insert(request.partition, std::move(made), StringValue()));
    guard.store = this;
    guard.name = request.partition;
  }
  WritePlan& plan = tables_->plan;
  TRY(partition->Reserve(request, plan));
  guard.store = nullptr;
  partition->Apply(plan, ++revision_, result);
  return {};
}

Status Store::Insert(std::string_view name, std::unique_ptr<Partition> partition,
                     StringValue string) {
  Entry entry = {.partition = std::move(partition), .string = std::move(string)};
  const std::int64_t bytes = BytesOf(name, entry);
  if (!memory_.GetBudget().TryCharge(bytes)) {
    return OutOfMemory();
  }
  try {
    tables_->by_name.emplace(Text(name), std::move(entry));
  } catch (...) {
    memory_.GetBudget().Release(bytes);
    throw;
  }
  return {};
}

Status Store::Read(const ReadRequest& request, ReadResult& result) const {
  result.Reset();
  TRY_ASSIGN(Partition* const partition, FindPartition(request.partition));
  return partition == nullptr ? NoPartition(request.partition) : partition->Read(request, result);
}

Status Store::Tags(std::string_view partition, const RowSet& rows, std::vector<Text>& tags) const {
  tags.clear();
  TRY_ASSIGN(Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return NoPartition(partition);
  }
  found->Tags(rows, tags);
  return {};
}

Result<std::int64_t> Store::ClearPartition(std::string_view partition) {
  TRY_ASSIGN(Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return std::int64_t{0};
  }
  const auto rows = static_cast<std::int64_t>(found->Rows());
  Erase(partition);
  ++revision_;
  return rows;
}

Result<std::int64_t> Store::ClearRows(std::string_view partition, const RowSet& rows) {
  TRY_ASSIGN(Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return std::int64_t{0};
  }
  ++revision_;
  return found->ClearRows(rows);
}

Result<std::int64_t> Store::ClearCells(std::string_view partition, const RowSet& rows,
                                       std::span<const std::string_view> fields) {
  TRY_ASSIGN(Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return std::int64_t{0};
  }
  const std::int64_t removed = found->ClearCells(rows, fields);
  revision_ += removed > 0 ? 1 : 0;
  return removed;
}

Status Store::SetString(std::string_view key, StringValue value) {
  const auto it = tables_->by_name.find(key);
  if (it == tables_->by_name.end()) {
    TRY(Insert(key, nullptr, std::move(value)));
    ++revision_;
    return {};
  }
  if (it->second.partition != nullptr) {
    return WrongType();
  }
  const auto grown = static_cast<std::int64_t>(value.text.View().size()) -
                     static_cast<std::int64_t>(it->second.string.text.View().size());
  if (grown > 0 && !memory_.GetBudget().TryCharge(grown)) {
    return OutOfMemory();
  }
  memory_.GetBudget().Release(grown < 0 ? -grown : 0);
  it->second.string = std::move(value);
  ++revision_;
  return {};
}

Result<std::optional<StringValue>> Store::GetString(std::string_view key) const {
  const auto it = tables_->by_name.find(key);
  if (it == tables_->by_name.end()) {
    return std::optional<StringValue>();
  }
  if (it->second.partition != nullptr) {
    return WrongType();
  }
  return std::optional<StringValue>(it->second.string);
}

void Store::Flush() {
  for (const auto& [name, entry] : tables_->by_name) {
    memory_.GetBudget().Release(BytesOf(name.View(), entry));
  }
  tables_->by_name.clear();
  ++revision_;
}

std::size_t Store::Names() const {
  return tables_->by_name.size();
}

Revision Store::LastRevision() const {
  return revision_;
}

}  // namespace sluice::store
