#include "store/store.h"

#include <map>
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
using NameTable = boost::unordered_flat_map<Text, Entry, TextHash, TextEqual>;

std::int64_t BytesOf(std::string_view name, const Entry& entry) {
  return kNameOverheadBytes +
         static_cast<std::int64_t>(name.size() + entry.string.text.View().size());
}

// All names that FLUSHALL removed.
class FlushedNames final : public Remains {
 public:
  FlushedNames(Memory& memory, NameTable names) : memory_(memory), names_(std::move(names)) {}
  ~FlushedNames() override {
    while (!TakeApart()) {
    }
  }

  void Swap(NameTable& names) noexcept { names_.swap(names); }

  bool TakeApart() noexcept override {
    constexpr int kNames = 1024;
    for (int i = 0; i < kNames && !names_.empty(); ++i) {
      const auto it = names_.begin();
      if (it->second.partition != nullptr && !it->second.partition->TakeApart()) {
        return false;
      }
      it->second.string.blob.AddHolder(-1);
      memory_.GetBudget().Release(BytesOf(it->first.View(), it->second));
      names_.erase(it);
    }
    return names_.empty();
  }

 private:
  Memory& memory_;
  NameTable names_;
};

}  // namespace

struct Store::Tables {
  explicit Tables(std::uint64_t seed) : by_name(0, TextHash{seed}) {}
  NameTable by_name;
  std::map<std::string_view, Partition*> partitions;  // the names are the partitions' own
  WritePlan plan;
};

Store::Store(Memory& memory, std::uint64_t seed)
    : memory_(memory), seed_(seed), tables_(std::make_unique<Tables>(seed)) {}

Store::~Store() {
  tables_->partitions.clear();
  const FlushedNames remains(memory_, std::move(tables_->by_name));
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

Partition* Store::PartitionFrom(std::string_view name) const {
  const auto it = tables_->partitions.lower_bound(name);
  return it == tables_->partitions.end() ? nullptr : it->second;
}

Partition* Store::Find(std::string_view name) const {
  const auto it = tables_->partitions.find(name);
  return it == tables_->partitions.end() ? nullptr : it->second;
}

std::unique_ptr<Partition> Store::Erase(std::string_view name) noexcept {
  const auto it = tables_->by_name.find(name);
  std::unique_ptr<Partition> partition = std::move(it->second.partition);
  memory_.GetBudget().Release(BytesOf(name, it->second));
  tables_->partitions.erase(name);
  tables_->by_name.erase(it);
  return partition;
}

void Store::Changed(std::string_view name) noexcept {
  ++revision_;
  if (listener_ != nullptr) {
    listener_->NameChanged(name);
  }
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
    // The revision of the write that makes it.
    const Partition::Birth birth = {.made = revision_ + 1, .seed = seed_};
    auto made = std::make_unique<Partition>(Text(request.partition), memory_, birth);
    partition = made.get();
    TRY(Insert(request.partition, std::move(made), StringValue()));
    guard.store = this;
    guard.name = request.partition;
  }
  WritePlan& plan = tables_->plan;
  TRY(partition->Reserve(request, plan));
  guard.store = nullptr;
  partition->Apply(plan, revision_ + 1, result);
  Changed(request.partition);
  return {};
}

Status Store::Insert(std::string_view name, std::unique_ptr<Partition> partition,
                     StringValue string) {
  Partition* const made = partition.get();
  Entry entry = {.partition = std::move(partition), .string = std::move(string)};
  const std::int64_t bytes = BytesOf(name, entry);
  if (!memory_.GetBudget().TryCharge(bytes)) {
    return OutOfMemory();
  }
  try {
    if (made != nullptr) {
      tables_->partitions.emplace(made->Name().View(), made);
    }
    const auto it = tables_->by_name.emplace(Text(name), std::move(entry)).first;
    it->second.string.blob.AddHolder(1);
  } catch (...) {
    tables_->partitions.erase(name);
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
  return found == nullptr ? NoPartition(partition) : found->Tags(rows, false, tags);
}

Status Store::TakeSnapshot(const SnapshotRequest& request, Snapshot& snapshot) const {
  TRY_ASSIGN(Partition* const partition, FindPartition(request.partition));
  snapshot.revision = revision_;
  if (partition != nullptr) {
    partition->TakeSnapshot(request, snapshot);
  } else {
    snapshot.complete = false;
  }
  return {};
}

void Store::ListPartitions(std::vector<std::pair<Text, std::size_t>>& partitions) const {
  for (const auto& [name, partition] : tables_->partitions) {
    partitions.emplace_back(partition->Name(), partition->Rows());
  }
}

Status Store::Summarize(std::string_view partition, std::vector<FieldSummary>& fields) const {
  TRY_ASSIGN(const Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return NoPartition(partition);
  }
  found->Summarize(fields);
  return {};
}

Result<std::size_t> Store::FirstUnready(std::string_view partition, const RowSet& rows,
                                        std::size_t from,
                                        std::span<const std::string_view> fields) const {
  TRY_ASSIGN(Partition* const found, FindPartition(partition));
  return found == nullptr ? from : found->FirstUnready(rows, from, fields);
}

Result<GrowingCell> Store::CellToGrow(const AppendRequest& request) const {
  TRY_ASSIGN(Partition* const found, FindPartition(request.partition));
  return found == nullptr ? Result<GrowingCell>(GrowingCell()) : found->CellToGrow(request);
}

Result<Store::RemovedPartition> Store::RemovePartition(std::string_view partition) {
  TRY_ASSIGN(const Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return RemovedPartition();
  }
  RemovedPartition removed;
  removed.rows = static_cast<std::int64_t>(found->Rows());
  removed.remains = Erase(partition);
  Changed(partition);
  return removed;
}

Text Store::KeyOf(std::string_view partition, RowIndex index) const {
  Partition* const found = Find(partition);
  const Row* const row = found == nullptr ? nullptr : found->FindRow(index);
  return row == nullptr ? Text() : row->key;
}

Result<std::int64_t> Store::ClearRows(std::string_view partition, const RowSet& rows) {
  TRY_ASSIGN(Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return std::int64_t{0};
  }
  TRY_ASSIGN(const std::int64_t removed, found->ClearRows(rows, revision_ + 1));
  if (removed > 0) {
    Changed(partition);
  }
  return removed;
}

Result<std::int64_t> Store::ClearCells(std::string_view partition, const RowSet& rows,
                                       std::span<const std::string_view> fields) {
  TRY_ASSIGN(Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return std::int64_t{0};
  }
  TRY_ASSIGN(const std::int64_t removed, found->ClearCells(rows, fields, revision_ + 1));
  if (removed > 0) {
    Changed(partition);
  }
  return removed;
}

Status Store::SetString(std::string_view key, StringValue value) {
  const auto it = tables_->by_name.find(key);
  if (it == tables_->by_name.end()) {
    TRY(Insert(key, nullptr, std::move(value)));
    Changed(key);
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
  it->second.string.blob.AddHolder(-1);
  it->second.string = std::move(value);
  it->second.string.blob.AddHolder(1);
  Changed(key);
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

std::unique_ptr<Remains> Store::Flush() {
  auto remains = std::make_unique<FlushedNames>(memory_, NameTable(0, TextHash{seed_}));
  remains->Swap(tables_->by_name);
  tables_->partitions.clear();
  ++revision_;
  if (listener_ != nullptr) {
    listener_->AllChanged();
  }
  return remains;
}

std::size_t Store::Names() const {
  return tables_->by_name.size();
}

Revision Store::LastRevision() const {
  return revision_;
}

}  // namespace sluice::store
